//! Whether what is found in a store is a record of this layout, whatever its key.

use quorate_crypto::Digest;
use quorate_storage::Family;
use quorate_types::bundle::{Bundle, BundleHeader};
use quorate_types::codec::{Canonical, DecodeError};
use quorate_types::epoch::EpochStart;
use quorate_types::evidence::Evidence;
use quorate_types::execution::{Execution, ExecutionCertificate, ExecutionVote};
use quorate_types::ids::{BundleNumber, Epoch, Sequence, ValidatorIndex};
use quorate_types::proposal::Proposal;
use quorate_types::receipt::Receipt;
use quorate_types::signed::Signed;
use quorate_types::snapshot::Entry;
use quorate_types::view_change::{Complaint, NewView, ViewChangeMessage};
use quorate_types::vote::{Certificate, Vote};

use super::slot::{RecordError, open};
use super::{
    BY_DIGEST, BY_SEQUENCE, COMMITS, Delivered, EPOCHS, EVIDENCE, EXECUTION_VOTES, EXECUTIONS, ExecutedMark, Judged,
    LEFT_LANE, NEW_VIEW, PREPARED, Place, RESULTS, VIEW_CHANGE, VOID_ABOVE, VOTES, ViewState,
};
use crate::standing::Ended;
use crate::transfer::{Divergence, TransferMark};

/// Length of the key of a [`Place`]: an operation's id alone.
const PLACE_KEY_BYTES: usize = 32;

/// Reads the record by the type that belongs under its key. Entries of `State` and `Tree` are the machine's and
/// pass.
///
/// # Errors
/// If no record of this layout has such a key, or the value isn't of its type and version.
pub fn admit(family: Family, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
    let unknown = || {
        let fault = DecodeError::Malformed { what: "key", rule: "no record of this version has it" };
        Err(RecordError::Malformed { family, key: key.to_vec(), fault })
    };
    let kind = key.first().copied();
    match family {
        Family::State | Family::Tree => Ok(()),
        Family::Meta => match key {
            b"cluster" | b"incarnation" => reads::<Digest>(family, key, value),
            b"batch" => reads::<u64>(family, key, value),
            b"ended" => reads::<Ended>(family, key, value),
            b"executed" => reads::<ExecutedMark>(family, key, value),
            b"delivered" => reads::<Delivered>(family, key, value),
            b"transfer" => reads::<TransferMark>(family, key, value),
            b"divergence" => reads::<Divergence>(family, key, value),
            b"epoch" => reads::<Epoch>(family, key, value),
            b"stable" | b"pruned" | b"certified" | b"swept" | b"installing" | b"wrong-from" => {
                reads::<Sequence>(family, key, value)
            }
            key if key.starts_with(VOID_ABOVE) => reads::<Delivered>(family, key, value),
            _ => unknown(),
        },
        Family::Protocol if key == b"view" => reads::<ViewState>(family, key, value),
        Family::Protocol if key.starts_with(b"complaint") => reads::<Signed<Complaint>>(family, key, value),
        Family::Protocol if key.starts_with(VIEW_CHANGE) => reads::<ViewChangeMessage>(family, key, value),
        Family::Protocol if key.starts_with(NEW_VIEW) || key.starts_with(b"own-new-view") => {
            reads::<Signed<NewView>>(family, key, value)
        }
        Family::Protocol if key.starts_with(b"own-bundle") => reads::<Signed<BundleHeader>>(family, key, value),
        Family::Protocol if key.starts_with(b"own-prepare") => reads::<Signed<Vote>>(family, key, value),
        Family::Protocol if key.starts_with(LEFT_LANE) => reads::<(ValidatorIndex, BundleNumber)>(family, key, value),
        Family::Protocol => unknown(),
        Family::Votes => match kind {
            Some(VOTES) => reads::<Signed<Vote>>(family, key, value),
            Some(EXECUTION_VOTES) => reads::<Signed<ExecutionVote>>(family, key, value),
            Some(EVIDENCE) => reads::<Evidence>(family, key, value),
            _ => unknown(),
        },
        Family::Proposals => match kind {
            Some(BY_DIGEST) => reads::<Proposal>(family, key, value),
            Some(BY_SEQUENCE) => reads::<Digest>(family, key, value),
            _ => unknown(),
        },
        Family::Certificates => match kind {
            Some(PREPARED | COMMITS) => reads::<Certificate>(family, key, value),
            Some(EXECUTIONS) => reads::<ExecutionCertificate>(family, key, value),
            Some(RESULTS) => reads::<Execution>(family, key, value),
            Some(EPOCHS) => reads::<EpochStart>(family, key, value),
            _ => unknown(),
        },
        Family::Incoming => reads::<Entry>(family, key, value),
        Family::Bundles => reads::<Bundle>(family, key, value),
        Family::Receipts => reads::<Receipt>(family, key, value),
        Family::Operations if key.len() == PLACE_KEY_BYTES => reads::<Place>(family, key, value),
        Family::Operations => reads::<Judged>(family, key, value),
    }
}

fn reads<T: Canonical>(family: Family, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
    open::<T>(family, key, value).map(drop)
}
