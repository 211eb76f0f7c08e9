//! What is done about turns in second gear that take longer than in first gear.
//!
//! Now and then the kernel has both sides on one core, though there is another: who looks keeps the other from running.
//! So after a few losses in a row the worker is asked to go to another core. If that was not it, more losses are followed by
//! pauses in first gear.

/// Losses in a row, and what comes of them.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// How many turns in a row have lost, or won.
    lost: u32,
    won: u32,
    /// How many turns to make in first gear after a few more great losses; 0 if there were none lately.
    next_pause: u32,
    /// The worker has to go to another core.
    apart: bool,
    /// Turns since it last had to for small losses, and after how many it has to again.
    since_apart: u32,
    next_apart: u32,
}

/// Losses in a row that something is done about, and wins in a row after which it begins anew.
const LOSSES: u32 = 2;
const WINS: u32 = 8;
/// Turns of a pause, at first and at most.
const PAUSE: u32 = 4;
const MOST_PAUSE: u32 = 64;
/// Turns between two moves for small losses, at first and at most.
const APART: u32 = 64;
const MOST_APART: u32 = 1 << 16;

impl Losses {
    /// A turn in second gear took so long, in nanoseconds; in first gear it takes so long on average, and has taken so
    /// long lately. How many turns to make in first gear now.
    pub(super) fn count(&mut self, took: i64, first_gear: i64, first_gear_lately: i64) -> u32 {
        // On one core the first gear is fast, whatever it was before.
        let is_great = took > 2 * first_gear_lately;
        let is_loss = took > first_gear || is_great;
        (self.lost, self.won) = match is_loss {
            true => (self.lost + 1, 0),
            false => (0, self.won.saturating_add(1)),
        };
        if self.won >= WINS {
            self.next_pause = 0;
        }
        self.since_apart = self.since_apart.saturating_add(1);
        if self.lost < LOSSES {
            return 0;
        }
        self.lost = 0;
        if is_great {
            self.apart = true;
            let next = (self.next_pause * 2).clamp(PAUSE, MOST_PAUSE);
            return std::mem::replace(&mut self.next_pause, next);
        }
        if self.since_apart >= self.next_apart {
            // It may be that the calls themselves take longer now and then.
            self.apart = true;
            self.since_apart = 0;
            self.next_apart = (self.next_apart * 2).clamp(APART, MOST_APART);
        }
        0
    }

    /// Whether the worker has to go to another core. It is told so now.
    pub(super) fn take_apart(&mut self) -> bool {
        std::mem::take(&mut self.apart)
    }
}
