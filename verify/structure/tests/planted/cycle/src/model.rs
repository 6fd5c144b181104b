pub fn grant() {
    println!("{}", crate::runtime::name());
}
