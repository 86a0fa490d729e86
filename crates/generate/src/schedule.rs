//! Rare events, planned over the whole span before any slice is made: destructions, locks, births and ends of keys.

use crate::clock::SECOND;
use crate::codes::{Action, Role, Status};
use crate::dice::{Dice, Purpose};
use crate::record::{Deed, Target};
use crate::world::{Actor, Partition, RoundKind, World};

/// A deed and when it is due.
pub(crate) type Due<'w> = (i64, Deed<'w>);

/// All planned deeds in order of time, the most telling ones where `limit` does not allow for all.
pub(crate) fn plan<'w>(world: &'w World, seed: u64, runs: u32, limit: usize, from: i64, to: i64) -> Vec<Due<'w>> {
    let mut planner = Planner { world, dice: Dice::new(seed, Purpose::Schedule, 0), due: Vec::new() };
    planner.destructions();
    planner.locks(runs, from, to);
    planner.openings();
    planner.key_lives();
    let mut due = planner.due;
    due.truncate(limit);
    for (time, _) in &mut due {
        *time = (*time).clamp(from, to - 1);
    }
    due.sort_by_key(|(time, _)| *time);
    due
}

struct Planner<'w> {
    world: &'w World,
    dice: Dice,
    due: Vec<Due<'w>>,
}

impl<'w> Planner<'w> {
    fn add(&mut self, time: i64, deed: Deed<'w>) {
        // An odd fraction of a second, so that every precision has something to cut.
        let fraction = self.dice.below(SECOND as u64) as i64;
        self.due.push((time + fraction, deed));
    }

    fn deed(
        &mut self,
        actor: &'w Actor,
        partition: &'w Partition,
        role: Role,
        action: Action,
        status: Status,
    ) -> Deed<'w> {
        let [module, _] = &partition.modules;
        let address = Some(self.world.address_of(actor, &mut self.dice));
        Deed { actor, address, partition, module, role, action, status, target: Target::Absent }
    }

    /// The client that administers a partition.
    fn officer(&self, partition: &Partition) -> &'w Actor {
        self.world.actor(partition.index % self.world.actors.len().max(1))
    }

    fn destructions(&mut self) {
        let world = self.world;
        for (number, round) in world.rounds.iter().enumerate() {
            let partition = world.partition(round.partition);
            let officer = self.officer(partition);
            let (at, po) = (round.at, Role::Po);
            match round.kind {
                RoundKind::Zeroized => {
                    let zeroize = self.deed(officer, partition, po, Action::PartitionZeroize, Status::Ok);
                    self.add(at, zeroize);
                    let init = self.deed(officer, partition, po, Action::PartitionInit, Status::Ok);
                    self.add(at + 300 * SECOND, init);
                }
                RoundKind::Refused => {
                    let why = self.dice.one(&[Status::NotLoggedIn, Status::OperationRestricted], Status::NotLoggedIn);
                    let attempt = self.deed(officer, partition, Role::Public, Action::PartitionZeroize, why);
                    self.add(at, attempt);
                }
                RoundKind::InitialisedAnew => {
                    let refused = self.deed(officer, partition, po, Action::PartitionInit, Status::OperationRestricted);
                    self.add(at - 60 * SECOND, refused);
                    let init = self.deed(officer, partition, po, Action::PartitionInit, Status::Ok);
                    self.add(at, init);
                }
                RoundKind::WipedByLogins => {
                    let intruder = world.any_actor(&mut self.dice);
                    let last =
                        if number % 8 == 0 { Status::PinIncorrectZeroized } else { Status::SoLoginFailureThreshold };
                    self.failed_logins(intruder, partition, po, 9, at);
                    let end = self.deed(intruder, partition, po, Action::Login, last);
                    self.add(at, end);
                }
            }
        }
    }

    /// Wrong credentials up to a moment, some seconds apart.
    fn failed_logins(&mut self, actor: &'w Actor, partition: &'w Partition, role: Role, count: i64, until: i64) {
        for number in 0..count {
            let deed = self.deed(actor, partition, role, Action::Login, Status::PinIncorrect);
            self.add(until - (count - number) * 7 * SECOND, deed);
        }
    }

    fn locks(&mut self, runs: u32, from: i64, to: i64) {
        let world = self.world;
        let seconds = ((to - from) / SECOND) as u64;
        for number in 0..runs {
            let actor = world.any_actor(&mut self.dice);
            let at = from + SECOND * self.dice.between(seconds / 20, seconds * 19 / 20) as i64;
            let partition = world.partition_of(actor, at, &mut self.dice);
            let role = if number % 2 == 0 { Role::Co } else { Role::Cu };
            self.failed_logins(actor, partition, role, 9, at);
            let lock = self.deed(actor, partition, role, Action::Login, Status::PinIncorrectLocked);
            self.add(at, lock);
            for again in 1..=3 {
                let status = if again == 3 { Status::ContainerDisabled } else { Status::ContainerLocked };
                let refused = self.deed(actor, partition, role, Action::Login, status);
                self.add(at + again * 40 * SECOND, refused);
            }
            let officer = self.officer(partition);
            let reset = self.deed(officer, partition, Role::Po, Action::InitPin, Status::Ok);
            self.add(at + 1_800 * SECOND, reset);
        }
    }

    /// Partitions that are set up while the log runs.
    fn openings(&mut self) {
        let world = self.world;
        for partition in world.partitions.iter().filter(|partition| partition.opens != i64::MIN) {
            let officer = self.officer(partition);
            let init = self.deed(officer, partition, Role::Po, Action::PartitionInit, Status::Ok);
            self.add(partition.opens - 2 * SECOND, init);
        }
    }

    fn key_lives(&mut self) {
        let world = self.world;
        for key in &world.keys {
            let partition = world.partition(key.partition);
            let officer = self.officer(partition);
            let target = Target::Key { key, upper: false };
            if key.born != i64::MIN && key.born > partition.opens {
                let action = self.dice.weighted(
                    &[
                        (Action::GenerateKeyPair, 5),
                        (Action::GenerateKey, 4),
                        (Action::CreateObject, 1),
                        (Action::UnwrapKey, 1),
                    ],
                    Action::GenerateKey,
                );
                let deed = self.deed(officer, partition, Role::Co, action, Status::Ok);
                self.add(key.born - SECOND, Deed { target, ..deed });
            }
            if key.dies != i64::MAX && key.dies > partition.opens {
                let deed = self.deed(officer, partition, Role::Co, Action::DestroyObject, Status::Ok);
                self.add(key.dies, Deed { target, ..deed });
            }
        }
    }
}
