//! Which kind of Comet is called.

/// What the Comets serve. The calls have the same fields; what a body is, and what an error says, differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `ChatRoom.Comet.Comet`: a message's body as it is.
    #[default]
    Chatroom,
    /// `goim.comet.Comet`: each body in frames of goim's, as its own job writes them.
    Goim,
}

impl Dialect {
    /// Whether a message to several users is a call for each. goim's Comet stops at the first user whose queue is full and doesn't
    /// say which one that was.
    pub fn has_one_key_a_call(self) -> bool {
        self == Self::Goim
    }

    /// Whether a message without an operation gets a usual one.
    pub fn has_usual_operations(self) -> bool {
        self == Self::Chatroom
    }

    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chatroom => "chatroom",
            Self::Goim => "goim",
        }
    }
}
