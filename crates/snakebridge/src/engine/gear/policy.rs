//! When both sides look at the mailbox before they sleep: what recent calls have cost decides.
//!
//! No clock, no memory: times go in, and for how long to look comes out.
//!
//! The first gear is measured all the time that it is used, and the second one has to be cheaper than that: each
//! turn in it adds to an account what it has gained, or takes away what it has lost. Where that falls too low, the
//! machine has no core to spare, and the lane rests in first gear; then it tries again, after twice as
//! long each time that it has not paid as a whole.
//!
//! What is done about losses in a row, before the account falls that low, is said in `losses`.

use std::time::{Duration, Instant};

use super::losses::Losses;
use crate::options::Spin;

/// How long to look for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    /// The worker looks 2^n times for the request after this one; 0: it sleeps at once.
    pub(super) worker: u8,
    /// The host, for the answer.
    pub(super) host: Option<Duration>,
    /// The worker makes sure that it is not on the core of the host.
    pub(super) apart: bool,
}

const NONE: Looks = Looks { worker: 0, host: None, apart: false };

#[derive(Debug)]
pub(super) struct Policy {
    spin: Spin,
    /// Of [`Spin::Random`].
    random: Random,
    /// When the last answer had come, and the last message went.
    answered: Option<Instant>,
    sent: Instant,
    /// How many messages in a row have come close to the answer before them.
    close: u32,
    /// How many have to, before the worker looks.
    enough: u32,
    /// The worker was asked to look for the message that comes now, or the one that has been sent.
    asked: bool,
    /// What the gear of the turn that runs is.
    turn: Turn,
    /// How many answers in a row took too long to look for.
    slow: u8,
    /// What a turn takes in first gear, on average, in nanoseconds; 0 while it is not known. And what the last few
    /// have taken.
    first_gear: i64,
    first_gear_lately: i64,
    /// What turns in second gear have gained, in nanoseconds: lately, and since it was tried last.
    account: i64,
    gained: i64,
    /// How many more turns to make in first gear, and how many after the next failure.
    rest: u32,
    next_rest: u32,
    losses: Losses,
}

/// What a message finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) worker_sleeps: bool,
    /// The worker can be told to change its gear.
    pub(super) can_shift: bool,
    /// The worker has been told to look.
    pub(super) is_second: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Both sides slept, and the message came close to the one before: what it costs is what counts.
    First,
    /// Both of them looked.
    Second,
    /// One of them did.
    Shift,
    /// None was to, but the worker cannot be told so inside of a callback.
    Rest,
    /// It says nothing.
    Other,
}

/// About what it costs to be woken: looking for longer than that costs more than it can save.
const LOOK: Duration = Duration::from_micros(50);
/// 2^n looks are about as long.
const WORKER_LOOKS: u8 = 10;
/// What a look costs in Python.
const ONE_LOOK: Duration = Duration::from_nanos(50);
/// The most that a worker can be asked for: about fifty milliseconds.
const MOST_LOOKS: u8 = 20;
/// An answer that took longer than this is not looked for in vain, had it been found at once.
const SLOW: Duration = Duration::from_micros(120);
/// Messages in a row that come close, at the least and at the most, before the worker looks.
const ENOUGH: u32 = 2;
/// A mailbox has to be made for the first time.
const ENOUGH_AT_FIRST: u32 = 32;
const MOST_ENOUGH: u32 = 256;
/// The most that an account has, and the least, in nanoseconds: a thread is held up now and then on any machine.
const CREDIT: i64 = 5_000_000;
const DEBT: i64 = -500_000;
/// Turns of a rest, at first and at most: about a millisecond, and half a minute of calls that follow
/// closely. A single try costs less than ten milliseconds.
const REST: u32 = 32;
const MOST_REST: u32 = 1 << 17;
/// The weight of one turn in the averages of first gear, the long one and the short one: 1 of so many.
const AVERAGE_OF: i64 = 128;
const LATELY_OF: i64 = 2;
/// What a single turn in first gear counts at most, in nanoseconds: one that the machine has held up must not make
/// the second gear look good for long.
const MOST_COUNTED: i64 = 1_000_000;

impl Policy {
    pub(super) fn new(spin: Spin, now: Instant) -> Self {
        Self {
            spin,
            random: Random::new(spin),
            answered: None,
            sent: now,
            close: 0,
            enough: ENOUGH_AT_FIRST,
            asked: false,
            turn: Turn::Other,
            slow: 0,
            first_gear: 0,
            first_gear_lately: 0,
            account: 0,
            gained: 0,
            rest: 0,
            next_rest: REST,
            losses: Losses::default(),
        }
    }

    /// A message goes now. How long both sides look afterwards.
    pub(super) fn sends(&mut self, now: Instant, lane: Situation) -> Looks {
        self.sent = now;
        match self.spin {
            Spin::Off => NONE,
            Spin::Auto => self.decide(now, lane),
            Spin::For(time) => Looks { worker: exponent(time), host: Some(time), apart: false },
            Spin::Random(_) => self.random.looks(),
        }
    }

    fn decide(&mut self, now: Instant, lane: Situation) -> Looks {
        let gap = self.answered.map(|answered| now.saturating_duration_since(answered));
        let is_close = gap.is_some_and(|gap| gap < LOOK);
        if self.asked {
            self.worker_has_looked(is_close);
        }
        self.close = if is_close { self.close.saturating_add(1) } else { 0 };
        let can_look = lane.can_shift || lane.is_second;
        let looks = can_look && self.close >= self.enough && self.rest == 0;
        self.turn = match (self.asked, looks) {
            _ if !is_close => Turn::Other,
            (false, false) if lane.worker_sleeps => Turn::First,
            (false, false) => Turn::Rest,
            (true, true) => Turn::Second,
            (true, false) | (false, true) => Turn::Shift,
        };
        self.asked = looks;
        Looks {
            worker: if looks { WORKER_LOOKS } else { 0 },
            host: (looks && self.slow < 2).then_some(LOOK),
            apart: looks && lane.can_shift && self.losses.take_apart(),
        }
    }

    /// Whether the worker looks in vain is a matter of the program: how its calls follow each other.
    fn worker_has_looked(&mut self, is_close: bool) {
        let has_paid = self.close >= 4 * self.enough;
        if has_paid {
            self.enough = ENOUGH;
        } else if !is_close {
            self.enough = (self.enough * 2).min(MOST_ENOUGH);
        }
    }

    /// The answer has come.
    pub(super) fn answered(&mut self, now: Instant) {
        self.answered = Some(now);
        if self.spin != Spin::Auto {
            return;
        }
        let took = now.saturating_duration_since(self.sent);
        self.slow = if took > SLOW { (self.slow + 1).min(2) } else { 0 };
        let took = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
        match std::mem::replace(&mut self.turn, Turn::Other) {
            Turn::First => {
                self.rest = self.rest.saturating_sub(1);
                let took = took.min(MOST_COUNTED);
                match self.first_gear {
                    0 => (self.first_gear, self.first_gear_lately) = (took, took),
                    average => {
                        self.first_gear += (took - average) / AVERAGE_OF;
                        self.first_gear_lately += (took - self.first_gear_lately) / LATELY_OF;
                    }
                }
            }
            Turn::Second => {
                if self.slow < 2 {
                    let pause = self.losses.count(took, self.first_gear, self.first_gear_lately);
                    self.rest = self.rest.max(pause);
                }
                self.settle(took);
            }
            Turn::Shift => self.settle(took),
            Turn::Rest => self.rest = self.rest.saturating_sub(1),
            Turn::Other => {}
        }
    }

    fn settle(&mut self, took: i64) {
        let gained = self.first_gear - took;
        // Half of it is for the core that has looked: where it is all the same, others should have that.
        let gained = if gained > 0 { gained / 2 } else { gained };
        self.gained = self.gained.saturating_add(gained);
        self.account = self.account.saturating_add(gained).min(CREDIT);
        if self.account > DEBT {
            return;
        }
        if self.gained > 0 {
            self.next_rest = REST;
        }
        self.rest = self.next_rest;
        self.next_rest = (self.next_rest * 2).min(MOST_REST);
        (self.account, self.gained) = (0, 0);
    }
}

/// A generator of random numbers: xorshift64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(spin: Spin) -> Self {
        match spin {
            // From zero it would never get away, and seeds that follow each other would begin alike.
            Spin::Random(seed) => Self((seed << 1 | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            _ => Self(1),
        }
    }

    /// Each of the things that a message can find: both sides look, one of them, none; for long, or hardly at all; the
    /// worker has gone to another core.
    fn looks(&mut self) -> Looks {
        let worker = [0, 0, 1, 4, WORKER_LOOKS][self.below(5)];
        let host = [None, Some(Duration::from_micros(3)), Some(LOOK)][self.below(3)];
        Looks { worker, host, apart: self.below(4) == 0 }
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// How many looks take about so long, as a power of two.
fn exponent(time: Duration) -> u8 {
    let looks = (time.as_nanos() / ONE_LOOK.as_nanos()).max(2);
    (looks.ilog2() as u8).min(MOST_LOOKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program whose calls follow each other after `gap`, on a machine where they take so long.
    struct World {
        policy: Policy,
        now: Instant,
        gap: Duration,
        first_gear: Duration,
        second_gear: Duration,
        /// The same once the worker has gone to another core.
        apart: Duration,
        moves: u32,
        /// The messages are answers to callbacks.
        is_inside: bool,
        is_second: bool,
    }

    const ASLEEP: Situation = Situation { worker_sleeps: true, can_shift: true, is_second: false };

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    impl World {
        fn new(first_gear: Duration, second_gear: Duration) -> Self {
            let now = Instant::now();
            let policy = Policy::new(Spin::Auto, now);
            Self {
                policy,
                now,
                gap: us(1),
                first_gear,
                second_gear,
                apart: second_gear,
                moves: 0,
                is_inside: false,
                is_second: false,
            }
        }

        /// Makes calls. In how many of them both sides have looked.
        fn calls(&mut self, count: usize) -> usize {
            (0..count).filter(|_| self.call()).count()
        }

        fn call(&mut self) -> bool {
            self.now += self.gap;
            let is_awake = self.is_second && self.gap < LOOK;
            let lane = Situation {
                worker_sleeps: !is_awake,
                can_shift: !self.is_inside,
                is_second: self.is_second,
            };
            let looks = self.policy.sends(self.now, lane);
            if lane.can_shift {
                self.is_second = looks.worker > 0;
            }
            let second = is_awake && looks.host.is_some();
            if looks.apart {
                self.second_gear = self.apart;
                self.moves += 1;
            }
            self.now += if second { self.second_gear } else { self.first_gear };
            self.policy.answered(self.now);
            second
        }
    }

    #[test]
    fn calls_that_follow_closely_get_into_second_gear() {
        let mut idle = World::new(us(50), us(3));
        assert!(idle.calls(1000) > 960);
    }

    #[test]
    fn calls_far_apart_stay_in_first_gear() {
        let mut sparse = World::new(us(50), us(3));
        sparse.gap = Duration::from_millis(2);
        assert_eq!(sparse.calls(1000), 0);
        assert!(!sparse.policy.asked, "nor does the worker look");
    }

    #[test]
    fn where_it_does_not_pay_it_is_tried_seldom() {
        let mut busy = World::new(us(10), us(40));
        assert!(busy.calls(100) > 2, "it was tried");
        busy.calls(10_000);
        let looked = busy.calls(100_000);
        assert!(looked < 1000, "{looked} of 100000 calls");
    }

    #[test]
    fn one_long_wait_does_not_end_it_for_long() {
        let mut idle = World::new(us(50), us(3));
        idle.calls(1000);
        idle.second_gear = Duration::from_millis(5);
        idle.calls(1);
        idle.second_gear = us(3);
        assert!(idle.calls(1000) > 900);
    }

    #[test]
    fn where_both_are_on_one_core_the_worker_goes_to_another() {
        let mut idle = World::new(us(50), us(3));
        idle.calls(1000);
        (idle.first_gear, idle.second_gear, idle.apart) = (us(10), us(95), us(3));
        assert!(idle.calls(100) > 95);
        assert_eq!(idle.second_gear, us(3));
    }

    #[test]
    fn losses_that_last_are_followed_by_longer_and_longer_pauses() {
        let mut machine = World::new(us(50), us(3));
        machine.calls(1000);
        (machine.first_gear, machine.second_gear, machine.apart) = (us(10), us(95), us(95));
        let looked: Vec<usize> = (0..4).map(|_| machine.calls(100)).collect();
        assert!(looked[0] > looked[3] && looked[3] <= 6, "{looked:?}");
    }

    #[test]
    fn losses_among_callbacks_do_not_end_it_for_the_rest_of_their_call() {
        let mut program = World::new(us(50), us(3));
        program.calls(1000);
        program.is_inside = true;
        program.second_gear = us(110);
        assert_eq!(program.calls(4), 4);
        program.second_gear = us(3);
        assert!(program.calls(1000) > 950);
        assert_eq!(program.moves, 0, "the worker cannot be told");
        program.is_inside = false;
        program.calls(100);
        assert_eq!(program.moves, 1, "but it is told when it can be");
    }

    #[test]
    fn callbacks_of_a_call_in_first_gear_are_in_first_gear() {
        let mut program = World::new(us(50), us(3));
        program.is_inside = true;
        assert_eq!(program.calls(1000), 0);
        assert!(!program.policy.asked);
        program.is_inside = false;
        assert!(program.calls(1000) > 950);
    }

    #[test]
    fn calls_that_take_longer_now_and_then_do_not_move_the_worker_for_ever() {
        let mut program = World::new(us(50), us(3));
        program.calls(1000);
        let mut looked = 0;
        for _ in 0..10_000 {
            for took in [us(3), us(63)] {
                program.second_gear = took;
                program.apart = took;
                looked += program.calls(if took == us(3) { 8 } else { 2 });
            }
        }
        assert!(looked > 99_000, "{looked} of 100000 calls");
        assert!(program.moves < 20, "{} moves", program.moves);
    }

    #[test]
    fn it_comes_back_when_the_machine_is_free_again() {
        let mut machine = World::new(us(10), us(400));
        machine.calls(2000);
        (machine.first_gear, machine.second_gear, machine.apart) = (us(50), us(3), us(3));
        machine.calls(20_000);
        assert!(machine.calls(1000) > 900);
    }

    #[test]
    fn bursts_do_not_have_the_worker_look_in_vain_for_ever() {
        let mut program = World::new(us(50), us(3));
        let mut in_vain = 0;
        for _ in 0..100 {
            program.gap = us(1);
            program.calls(4);
            in_vain += usize::from(program.policy.asked);
            program.gap = Duration::from_millis(2);
            program.calls(1);
        }
        assert!(in_vain <= 2, "{in_vain} times");
    }

    #[test]
    fn long_answers_are_not_looked_for() {
        let mut slow = World::new(Duration::from_millis(1), Duration::from_millis(1));
        assert!(slow.calls(1000) < 5);
        assert!(slow.policy.asked, "the worker looks for the next request all the same");
    }

    #[test]
    fn what_was_switched_off_stays_off_and_what_is_forced_does_not_give_up() {
        let now = Instant::now();
        let mut off = Policy::new(Spin::Off, now);
        assert_eq!(off.sends(now, ASLEEP), NONE);
        let mut forced = Policy::new(Spin::For(us(100)), now);
        let looks = forced.sends(now, ASLEEP);
        assert_eq!(looks, Looks { worker: 10, host: Some(us(100)), apart: false });
        forced.answered(now + Duration::from_secs(1));
        assert_eq!(forced.sends(now + Duration::from_secs(9), ASLEEP), looks);
    }

    #[test]
    fn chance_tries_all_there_is() {
        let now = Instant::now();
        let mut policy = Policy::new(Spin::Random(7), now);
        let mut seen: Vec<Looks> = Vec::new();
        for _ in 0..500 {
            let looks = policy.sends(now, ASLEEP);
            if !seen.contains(&looks) {
                seen.push(looks);
            }
        }
        assert_eq!(seen.len(), 4 * 3 * 2, "{seen:?}");
    }

    #[test]
    fn looks_are_counted_in_powers_of_two() {
        let exponents = [0, 1, 100, 100_000, 10_000_000].map(|micros| exponent(us(micros)));
        assert_eq!(exponents, [1, 4, 10, 20, 20]);
    }
}
