//! How a peer calls itself: known once identify has come, often after the first streams.

use std::sync::{Arc, Mutex, PoisonError};

/// Cheap to clone; all clones are of one connection. Empty until the peer has said it; cut and cleaned.
#[derive(Clone, Debug, Default)]
pub struct Agent(Arc<Mutex<String>>);

impl Agent {
    /// What is known at present.
    pub fn read(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, agent: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = agent;
    }
}

/// For stacks on which a peer says it once, at the beginning.
impl From<String> for Agent {
    fn from(agent: String) -> Self {
        Self(Arc::new(Mutex::new(agent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_hears_of_it() {
        let agent = Agent::default();
        let other = agent.clone();
        assert_eq!(other.read(), "");

        agent.set("causeway/test".to_owned());

        assert_eq!(other.read(), "causeway/test");
        assert_eq!(Agent::from("geth".to_owned()).read(), "geth");
    }
}
