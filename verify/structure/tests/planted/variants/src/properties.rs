use crate::kind::Kind;

pub fn words() -> Vec<&'static str> {
    Kind::ALL.iter().map(Kind::word).collect()
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn a_test_may_name_one() {
        assert_eq!(Kind::One.word(), "one");
    }
}
