//! What a fault does.

use std::time::Duration;

use jiff::SignedDuration;

use crate::{
    fault::Fault,
    world::{ProcessId, SimEvent, SimWorld, Todo, TokenCall},
};

/// For how long a process is stopped: shorter than a send deadline, longer than a quiet period, longer than an exchange.
const STOPS: [u64; 5] = [1, 5, 30, 150, 400];
/// By how many seconds a wall clock is wrong.
const STEPS: [i64; 5] = [2, 45, 600, 7_200, 200_000];
/// For how long a machine is suspended.
const SLEEPS: [u64; 4] = [20, 100, 1_000, 10_000];

impl SimWorld {
    pub(crate) fn strike(&mut self, fault: Fault, process: ProcessId) {
        match fault {
            Fault::Kill => self.kill(process),
            Fault::Stop => {
                let seconds = self.dice.pick(&STOPS).unwrap_or(1);
                self.stop(process, Duration::from_secs(seconds));
            }
            Fault::PowerCut => self.cut_power(),
            Fault::DropCallers => self.todo.push(Todo::DropCallers(process)),
            Fault::StoreBusy
            | Fault::StoreFull
            | Fault::StoreReadOnly
            | Fault::StoreUnanswered
            | Fault::StoreSlow => self.of(process, |known| known.store_fault = Some(fault)),
            Fault::FileFails => self.of(process, |known| known.file_fault = true),
            Fault::AccountDisabled => {
                self.provider.disabled = true;
                self.truth.was_disabled = true;
                let until = self.dice.millis(60_000, 30_000_000);
                self.after(until, SimEvent::EnableAccount);
            }
            Fault::EarlyRejection => self.todo.push(Todo::Call(TokenCall::Rejected)),
            Fault::SignIn => self.todo.push(Todo::SignIn),
            Fault::Disconnect => self.todo.push(Todo::Disconnect),
            Fault::Suspend => self.todo.push(Todo::Suspend),
            Fault::PutBack => self.todo.push(Todo::PutBack { all: false }),
            Fault::PutAllBack => self.todo.push(Todo::PutBack { all: true }),
            Fault::WallForward => self.step_wall_by_some(1),
            Fault::WallBack => self.step_wall_by_some(-1),
            Fault::Sleep => {
                let seconds = self.dice.pick(&SLEEPS).unwrap_or(20);
                for process in 0..self.processes.len() {
                    self.stop(process, Duration::from_secs(seconds));
                }
            }
            _ => self.of(process, |known| known.wire_fault = Some(fault)),
        }
    }

    fn of(&mut self, process: ProcessId, change: impl FnOnce(&mut crate::world::SimProcess)) {
        if let Some(known) = self.processes.get_mut(process) {
            change(known);
        }
    }

    /// From now on nothing that the process does has any effect.
    pub fn kill(&mut self, process: ProcessId) {
        if !self.is_alive(process) {
            return;
        }
        self.tell(|| format!("p{process} is killed"));
        self.of(process, |known| known.alive = false);
        self.disk.unlock(process);
        if self.controls.journals_are_lost {
            self.disk.lose("/sim/spill".as_ref());
        }
        let wait = self.dice.millis(0, 100_000);
        self.after(wait, SimEvent::Start);
    }

    pub fn stop(&mut self, process: ProcessId, by: Duration) {
        let until = self.now + by;
        self.of(process, |known| {
            known.stopped_until = Some(known.stopped_until.map_or(until, |was| was.max(until)));
        });
        self.tell(|| format!("p{process} is stopped for {} s", by.as_secs()));
        self.at(until, SimEvent::Resume(process));
    }

    pub fn resume(&mut self, process: ProcessId) {
        let now = self.now;
        self.of(process, |known| {
            known.stopped_until.take_if(|until| *until <= now);
        });
    }

    fn cut_power(&mut self) {
        self.tell(|| "the power is cut".to_owned());
        for process in 0..self.processes.len() {
            self.kill(process);
        }
        self.disk.power_cut(&mut self.dice);
        if self.controls.sync_lies {
            self.disk.lose("/sim/spill".as_ref());
        }
        self.reboot();
    }

    fn step_wall_by_some(&mut self, direction: i64) {
        let seconds = self.dice.pick(&STEPS).unwrap_or(2) * direction;
        self.tell(|| format!("the wall clock is stepped by {seconds} s"));
        self.step_wall(SignedDuration::from_secs(seconds));
    }
}
