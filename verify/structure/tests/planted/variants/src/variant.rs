pub fn is_one(kind: &crate::kind::Kind) -> bool {
    matches!(kind, crate::kind::Kind::One)
}
