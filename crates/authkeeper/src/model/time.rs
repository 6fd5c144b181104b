//! A moment is what two clocks say: the wall clock, which can be stepped, and the boot clock, which cannot.

use std::{fmt, str::FromStr, time::Duration};

use jiff::Timestamp;

/// Which boot of the machine a boot time belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub u128);

impl BootId {
    /// Reads the kernel's boot id (a UUID). Text that is not one gives zero, which equals no other boot.
    pub fn parse(text: &str) -> Self {
        let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        Self(u128::from_str_radix(&hex, 16).unwrap_or_default())
    }

    fn is_known(self) -> bool {
        self.0 != 0
    }
}

/// Time since the machine started, counted through a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootStamp {
    /// Which boot.
    pub id: BootId,
    /// How long that boot had lasted.
    pub since: Duration,
}

/// One point in time, as both clocks tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// The boot clock.
    pub boot: BootStamp,
}

impl Moment {
    /// How long ago `earlier` was, by the clock that says *longer*: a token is old as soon as either clock says so.
    /// Times of different boots are told by the wall clock alone. Never negative.
    pub fn since(self, earlier: Self) -> Duration {
        let wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        self.boot_since(earlier).map_or(wall, |boot| boot.max(wall))
    }

    /// How long ago `earlier` was by the boot clock, if it was in this same boot. A stepped wall clock cannot move it.
    pub fn boot_since(self, earlier: Self) -> Option<Duration> {
        let same = self.boot.id == earlier.boot.id && self.boot.id.is_known();
        same.then(|| self.boot.since.saturating_sub(earlier.boot.since))
    }

    /// How long ago `earlier` was by the clock that cannot be stepped: no leap of the wall clock ends a wait. Only between
    /// two boots is there nothing but the wall clock.
    pub fn surely_since(self, earlier: Self) -> Duration {
        let wall = Duration::try_from(self.wall.duration_since(earlier.wall)).unwrap_or_default();
        self.boot_since(earlier).unwrap_or(wall)
    }
}

/// Wall clock, boot and boot clock in one text, exact to the nanosecond.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wall, boot) = (self.wall.as_nanosecond(), self.boot);
        write!(f, "{wall}/{:x}/{}", boot.id.0, boot.since.as_nanos())
    }
}

/// The text is not a moment as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no moment")]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        let parse = || {
            let mut parts = text.split('/');
            let wall = Timestamp::from_nanosecond(parts.next()?.parse().ok()?).ok()?;
            let id = BootId(u128::from_str_radix(parts.next()?, 16).ok()?);
            let since = Duration::from_nanos(parts.next()?.parse().ok()?);
            Some(Self {
                wall,
                boot: BootStamp { id, since },
            })
        };
        parse().ok_or(NoMoment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, boot_id: u128, boot: u64) -> Moment {
        let boot = BootStamp {
            id: BootId(boot_id),
            since: Duration::from_secs(boot),
        };
        Moment {
            wall: Timestamp::from_second(wall).unwrap(),
            boot,
        }
    }

    #[test]
    fn the_clock_that_says_longer_wins() {
        assert_eq!(
            at(1_000, 1, 110).since(at(990, 1, 100)),
            Duration::from_secs(10)
        );
        assert_eq!(
            at(500, 1, 110).since(at(990, 1, 100)),
            Duration::from_secs(10),
            "stepped back"
        );
        assert_eq!(
            at(9_990, 1, 110).since(at(990, 1, 100)),
            Duration::from_mins(150),
            "ahead"
        );
    }

    #[test]
    fn another_boot_is_told_by_the_wall_clock() {
        assert_eq!(
            at(1_000, 2, 5).since(at(990, 1, 100)),
            Duration::from_secs(10)
        );
        assert_eq!(at(980, 2, 5).since(at(990, 1, 100)), Duration::ZERO);
        assert_eq!(
            at(1_000, 0, 500).boot_since(at(990, 0, 100)),
            None,
            "an unknown boot is no boot"
        );
    }

    #[test]
    fn a_wait_is_not_shortened_by_a_wall_clock_that_leaps() {
        assert_eq!(
            at(9_990, 1, 110).surely_since(at(990, 1, 100)),
            Duration::from_secs(10)
        );
    }

    #[test]
    fn a_boot_is_known_by_its_uuid() {
        let boot = BootId::parse("01020304-0506-0708-090a-0b0c0d0e0f10\n");
        assert_eq!(boot, BootId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
        assert_eq!(BootId::parse("zyx"), BootId(0));
        assert_eq!(BootId::parse(""), BootId(0));
    }

    #[test]
    fn a_moment_reads_back_what_it_prints() {
        let moment = at(1_000, 0xa1, 110);
        assert_eq!(moment.to_string(), "1000000000000/a1/110000000000");
        assert_eq!(moment.to_string().parse(), Ok(moment));
        for bad in ["", "1000/a1", "x/a1/1", "1/x1/1", "1/a1/x"] {
            assert_eq!(bad.parse::<Moment>(), Err(NoMoment), "{bad:?}");
        }
    }
}
