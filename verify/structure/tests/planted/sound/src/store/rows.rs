use crate::model;

pub struct Rows;

impl Rows {
    pub const NAME: &'static str = "rows";

    pub fn grant() {
        model::grant();
    }
}
