//! Nodes that are known before any is found.

use std::{fmt, str::FromStr};

use alloy_primitives::B256;
use causeway_records::{Enode, EnodeError, Record, RecordError};

/// A node to begin at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bootnode {
    /// Named by its record.
    Record(Record),
    /// Named by its address; its record is asked for.
    Enode(Enode),
}

/// Why a text names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootnodeError {
    /// Neither `enr:` nor `enode://`.
    #[error("a bootnode is given as enr:… or enode://…")]
    Form,
    /// Not a record.
    #[error("not a node record")]
    Record(#[from] RecordError),
    /// Not an enode URL.
    #[error("not an enode URL")]
    Enode(#[from] EnodeError),
}

impl Bootnode {
    /// Its node id.
    pub fn node_id(&self) -> B256 {
        match self {
            Self::Record(record) => record.node_id(),
            Self::Enode(enode) => enode.key.node_id(),
        }
    }
}

impl FromStr for Bootnode {
    type Err = BootnodeError;

    fn from_str(text: &str) -> Result<Self, BootnodeError> {
        let text = text.trim();
        if text.starts_with("enr:") {
            Ok(Self::Record(text.parse()?))
        } else if text.starts_with("enode://") {
            Ok(Self::Enode(text.parse()?))
        } else {
            Err(BootnodeError::Form)
        }
    }
}

impl fmt::Display for Bootnode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => record.fmt(f),
            Self::Enode(enode) => enode.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EIP-778's example record and the same node as an enode URL.
    const RECORD: &str = "enr:-IS4QHCYrYZbAKWCBRlAy5zzaDZXJBGkcnh4MHcBFZntXNFrdvJjX04jRzjzCBOonrkTfj499SZuOh8R3\
                          3Ls8RRcy5wBgmlkgnY0gmlwhH8AAAGJc2VjcDI1NmsxoQPKY0yuDUmstAHYpMa2_oxVtw0RW_QAdpzBQA8yWM\
                          0xOIN1ZHCCdl8";
    const ENODE: &str = "enode://ca634cae0d49acb401d8a4c6b6fe8c55b70d115bf400769cc1400f3258cd31387574077f301b421bc8\
                         4df7266c44e9e6d569fc56be00812904767bf5ccd1fc7f@127.0.0.1:30303";

    #[test]
    fn both_forms_are_read_and_written() {
        assert!(matches!(RECORD.parse(), Ok(Bootnode::Record(record)) if record.to_string() == RECORD));
        assert!(matches!(ENODE.parse(), Ok(Bootnode::Enode(enode)) if enode.to_string() == ENODE));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!("127.0.0.1:30303".parse::<Bootnode>(), Err(BootnodeError::Form));
        assert!(matches!("enr:x".parse::<Bootnode>(), Err(BootnodeError::Record(_))));
        assert!(matches!("enode://x".parse::<Bootnode>(), Err(BootnodeError::Enode(_))));
    }
}
