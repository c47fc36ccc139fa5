//! Looks at the memory of the process from time to time, and acts on it.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Task;
use crate::{
    MemoryBudget,
    memory::{Keeper, Level, resident},
};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(250);

/// Time after connections were closed, for that to show.
const AFTER_CLOSING: Duration = Duration::from_secs(1);

/// Time until the next look where nothing can be told.
const UNKNOWN: Duration = Duration::from_secs(60);

/// When to look, and what was seen.
#[derive(Debug)]
pub(super) struct Watch {
    keeper: Keeper,
    level: Level,
    due: Instant,
}

impl Watch {
    pub(super) fn new(budget: MemoryBudget) -> Self {
        Self { keeper: Keeper::new(budget), level: Level::Enough, due: Instant::now() }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }
}

impl Task {
    /// Lets people in or not, and closes whom there is no memory for.
    pub(super) fn look_at_memory(&mut self) {
        let Some(watch) = &mut self.memory else { return };
        let Some(resident) = resident() else {
            watch.due = Instant::now() + UNKNOWN;
            return;
        };
        let level = watch.keeper.level(resident);
        if level != watch.level {
            match level {
                Level::Enough => info!(resident, "memory is there again: connections are let in"),
                Level::Tight => warn!(resident, "memory is short: no new libp2p connections are let in"),
                Level::Short => warn!(resident, "memory is short: idle libp2p connections are closed"),
            }
            watch.level = level;
        }
        let behaviour = self.swarm.behaviour_mut();
        behaviour.gate.set_memory(level);
        let leaving = watch.keeper.leaving(resident, behaviour.streams.candidates());
        watch.due = Instant::now() + if leaving.is_empty() { PERIOD } else { AFTER_CLOSING };
        for connection in leaving {
            debug!(%connection, "idle connection closed for want of memory");
            self.swarm.behaviour().streams.sent_home(connection);
            self.swarm.close_connection(connection);
        }
    }
}
