use crate::store::Rows;

pub fn name() -> &'static str {
    Rows::NAME
}
