pub fn grant() {}

#[cfg(test)]
mod tests {
    use crate::runtime;

    #[test]
    fn a_test_may_import_what_is_above() {
        runtime::name();
    }
}
