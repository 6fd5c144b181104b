//! What was noticed of providers.

use authkeeper::model::{Issuer, Notice, NoticeKind, Noticed};
use jiff::Timestamp;

use super::rows::Rows;

/// So many things of one kind are kept of one provider, those that were noticed last; of what is counted by connection, of one.
const MOST: usize = 16;
/// So many of what is counted by connection are kept of one provider.
const MOST_OF_ALL: usize = 128;

impl Rows {
    pub(super) fn notice(&mut self, notice: &Notice, at: Timestamp) {
        let known = self
            .noticed
            .iter()
            .position(|known| known.notice == *notice);
        let before = known.map(|place| self.noticed.remove(place));
        // The one that was noticed last comes first.
        let now = Noticed {
            notice: notice.clone(),
            times: before.as_ref().map_or(0, |before| before.times) + 1,
            first: before.map_or(at, |before| before.first),
            last: at,
        };
        self.noticed.insert(0, now);
        let (mut same, mut all) = (0, 0);
        self.noticed.retain(|known| {
            let counts = known.notice.issuer == notice.issuer && known.notice.kind == notice.kind;
            let same_whose = counts && whose(&known.notice) == whose(notice);
            same += usize::from(same_whose);
            all += usize::from(counts);
            !counts || ((!same_whose || same <= MOST) && all <= MOST_OF_ALL)
        });
    }

    pub(super) fn noticed_of(&self, issuer: Option<&Issuer>) -> Vec<Noticed> {
        let of = self.noticed.iter();
        let of = of.filter(|known| issuer.is_none_or(|issuer| known.notice.issuer == *issuer));
        let mut all: Vec<Noticed> = of.cloned().collect();
        all.sort_by(|one, other| one.notice.issuer.cmp(&other.notice.issuer));
        all
    }
}

/// The connection of what is counted by connection.
fn whose(notice: &Notice) -> Option<&str> {
    let word = notice.detail.split(' ').next();
    word.filter(|_| notice.kind == NoticeKind::EndedEarly)
}
