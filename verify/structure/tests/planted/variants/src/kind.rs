pub enum Kind {
    One,
    Two,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    pub fn word(&self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
        }
    }
}
