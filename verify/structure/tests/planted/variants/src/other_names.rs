mod inner {
    use crate::kind::Kind::{self, One};

    pub fn one() -> Kind {
        One
    }
}

pub fn two() -> crate::kind::Kind {
    use crate::kind::Kind as K;
    K::Two
}
