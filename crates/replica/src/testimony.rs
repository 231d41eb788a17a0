//! What a store can show about who signed what, for forensics (accountability §5): read from the records alone, by
//! anybody who holds a copy of it.

use quorate_accountability::forensics::Testimony;
use quorate_storage::Store;
use quorate_types::ids::{Epoch, Sequence};

use crate::records::{self, RecordError};

/// Everything of an epoch that the store holds: it is read into memory as a whole.
///
/// # Errors
/// If the store fails or its records are damaged.
pub fn testimony<S: Store>(store: &S, epoch: Epoch) -> Result<Testimony, RecordError> {
    let mut certificates = records::commits_from(store, Sequence::ZERO)?;
    certificates.extend(records::prepared(epoch).read(store)?);
    let own = records::highest_view_change(store, epoch)?;
    if let Some(own) = &own {
        certificates.extend([&own.prepared, &own.committed].into_iter().flatten().cloned());
    }
    Ok(Testimony {
        certificates,
        new_views: records::new_views(store, epoch)?,
        view_changes: own.into_iter().map(|own| own.signed).collect(),
        votes: records::votes_above(store, epoch, Sequence::ZERO)?,
        proposals: records::proposals(store)?,
        executions: records::executions_from(store, Sequence::ZERO, usize::MAX)?,
        evidence: records::evidence_kept(store)?,
    })
}
