//! What the membership is told.

use super::Commit;
use super::standing::Question;

/// What the group asks of the membership.
pub enum Command {
    Commit(Vec<Commit>),
    /// Look how the logs of these partitions stand.
    Look(Vec<Question>),
    /// Release all partitions, and leave the group.
    Leave,
}
