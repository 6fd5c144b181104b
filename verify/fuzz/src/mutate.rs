//! Cases made from a corpus: the same seed makes the same cases. For runs without libFuzzer, which knows what a case
//! reaches and this does not; so it is told the words that the readers look for.

/// Values that numbers, lengths and characters break at.
const AWKWARD: &[&str] = &[
    "0",
    "-1",
    "1e308",
    "1e-300",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "253402300800",
    "99999999999999999999999",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\\u0000",
    "\\u001b[2J",
    "\\u202e",
    "\\ud83d\\ude00",
    "\u{1b}[31m",
    "\u{202e}",
    "\r\n",
    "\t",
    "\0",
    "%00",
    "%1b%5b2J",
    "%e2%80%ae",
    "%",
    "\"",
    "\\",
    ",",
    "=",
    " ",
    "::1",
    "[::1]",
    ":99999",
    ":0",
    "@",
    "#",
    "?",
    "//",
    "/../",
];

/// How large a case may grow.
const LARGEST: usize = 64 * 1024;

/// `SplitMix64`: small, quick, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to but not including `end`; 0 where that is nothing.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let rolled = self.roll() % u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(rolled).unwrap_or_default()
    }

    /// A part of a text of this length, mostly a short one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 12 };
        let size = self.below(most.min(length - start) + 1);
        start..start + size
    }
}

/// One case: a seed, changed in a few places.
pub(crate) fn case(seeds: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let chosen = dice.below(seeds.len());
    let mut case = seeds.get(chosen).cloned().unwrap_or_default();
    for _ in 0..=dice.below(4) {
        change(&mut case, seeds, dice);
    }
    case.truncate(LARGEST);
    case
}

fn change(case: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let part = dice.part(case.len());
    match dice.below(9) {
        0 => flip(case, dice),
        1 => drop(case.splice(part, [])),
        2 => case.truncate(part.start),
        3 => {
            let word = AWKWARD[dice.below(AWKWARD.len())].bytes();
            case.splice(part, word);
        }
        4 => replace_number(case, dice),
        5 => {
            let other = &seeds[dice.below(seeds.len())];
            let theirs = other[dice.part(other.len())].to_vec();
            case.splice(part, theirs);
        }
        6 => repeat(case, part, dice),
        7 => {
            let (rolled, at) = (dice.roll().to_le_bytes(), part.start);
            case.splice(at..at, rolled.into_iter().take(1 + dice.below(8)));
        }
        _ => {
            let (from, at) = (case[part].to_vec(), dice.below(case.len() + 1));
            case.splice(at..at, from);
        }
    }
}

fn flip(case: &mut [u8], dice: &mut Dice) {
    let at = dice.below(case.len());
    if let Some(byte) = case.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
}

/// A number in the text becomes an awkward one.
fn replace_number(case: &mut Vec<u8>, dice: &mut Dice) {
    let from = dice.below(case.len() + 1);
    let Some(start) = (from..case.len()).find(|at| case[*at].is_ascii_digit()) else {
        return;
    };
    let digits = case[start..].iter().take_while(|b| b.is_ascii_digit());
    let end = start + digits.count();
    let word = AWKWARD[dice.below(9)].bytes();
    case.splice(start..end, word);
}

fn repeat(case: &mut Vec<u8>, part: std::ops::Range<usize>, dice: &mut Dice) {
    let times = [2, 40, 3_000][dice.below(3)];
    let times = times.min(LARGEST / part.len().max(1));
    let (at, copies) = (part.end, case[part].repeat(times));
    case.splice(at..at, copies);
}
