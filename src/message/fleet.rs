//! The fleet: which Comets there are, what they are called, and how that changes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::CometId;

/// A Comet of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What log, metrics, offset maps and dead letters call it, and `PushMsg.server`. By default it is the address.
    pub name: String,
    /// `host:port`, or `unix:/path`.
    pub address: String,
    /// Whether it is about to go: it gets messages as the others do, but nobody waits for it where it fails.
    pub drains: bool,
    /// How it is called, where that isn't as all are.
    pub own: Option<Own>,
}

/// How one Comet is called. Only the room `comet` looks into it: whoever else has a node hands it on.
#[derive(Clone)]
pub struct Own(Arc<dyn Any + Send + Sync>);

impl Own {
    pub fn new(content: Arc<impl Any + Send + Sync>) -> Self {
        Self(content)
    }

    /// What is in it, if that is what was put there.
    pub fn content<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// There may be secrets in it.
impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What was put there once is the same.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Own {}

/// What changes in the fleet. A Comet that joins has an id that no Comet had before in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It gets what is read from now on.
    Join(CometId, Node),
    /// The same Comet has another name or address, drains, or is called in another way.
    Become(CometId, Node),
    /// It gets nothing that isn't under way.
    Leave(CometId),
}

impl Node {
    /// Whether this name means it: its own, or its address, by which offset maps and dead letters knew it before it had a name.
    pub fn is_called(&self, name: &str) -> bool {
        let own = [&self.name, &self.address];
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether it has a name beside its address.
    pub fn has_own_name(&self) -> bool {
        !self.name.eq_ignore_ascii_case(&self.address)
    }

    /// The address without its port.
    pub fn host(&self) -> &str {
        // The path of a Unix socket has none.
        let host = self.address.rsplit_once(':');
        let host = host.filter(|_| !self.address.contains('/'));
        host.map_or(&self.address, |(host, _)| host)
    }
}

/// A Comet that has no name of its own.
impl From<String> for Node {
    fn from(address: String) -> Self {
        Self {
            name: address.clone(),
            address,
            drains: false,
            own: None,
        }
    }
}

impl From<&str> for Node {
    fn from(address: &str) -> Self {
        address.to_owned().into()
    }
}

/// For people: its name, and where it is if the name doesn't say that.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name == self.address {
            true => f.write_str(&self.name),
            false => write!(f, "{} ({})", self.name, self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comet_is_known_by_its_name_and_by_its_address() {
        let node = Node {
            name: "comet1".into(),
            ..Node::from("10.0.0.1:50051")
        };
        assert!(node.is_called("Comet1") && node.is_called("10.0.0.1:50051"));
        assert!(!node.is_called("10.0.0.1") && !node.is_called(""));
        assert_eq!(node.to_string(), "comet1 (10.0.0.1:50051)");
        assert_eq!(Node::from("a:1").to_string(), "a:1");
        let hosts = (Node::from("[::1]:1"), node);
        assert_eq!((hosts.0.host(), hosts.1.host()), ("[::1]", "10.0.0.1"));
        assert_eq!(Node::from("unix:/run/a").host(), "unix:/run/a");
    }
}
