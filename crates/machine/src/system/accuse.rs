//! `Accuse`: evidence against a validator is judged once more, by everyone, and stays in the state
//! (accountability §2.2).
//!
//! | key | value |
//! |---|---|
//! | `a` ‖ consensus key ‖ kind | the [`Conviction`] |
//!
//! So there are as many entries for a key as there are kinds, whatever it signs and however often it is shown.

use quorate_crypto::PublicKey;
use quorate_storage::{StateReader, StoreError};
use quorate_types::codec::Canonical;
use quorate_types::evidence::{Accused, CONVICTIONS, Conviction, Evidence};
use quorate_types::receipt::RejectionCode;
use quorate_types::verified::Context;

use super::{Outcome, Said, reject};
use crate::block::Charter;
use crate::epochs;
use crate::overlay::{Overlay, decode};

/// Entries that [`all`] gives at most; more than the keys of many sets with every kind.
pub(crate) const MAX_CONVICTIONS: usize = 1 << 16;

/// Judges the evidence that a validator shows. What is convicted already costs no signature, and one sequence judges
/// one piece of each author: so much, and no more, may a validator cost all others.
pub(super) fn apply<R: StateReader>(
    state: &mut Overlay<'_, R>,
    charter: &Charter<'_>,
    said: &mut Said<'_>,
    bytes: &[u8],
) -> Result<Outcome, StoreError> {
    let author = said.operation.author();
    if charter.epoch.validator_with(&author).is_none() {
        let text = format!("only a validator of the epoch shows evidence, {author} is none");
        return Ok(reject(RejectionCode::PermissionDenied, text));
    }
    let evidence = match Evidence::from_bytes(bytes) {
        Ok(evidence) if evidence.is_ordered() => evidence,
        Ok(evidence) => {
            let text = format!("{} accuse an author; the state judges authors by their nonces", evidence.kind());
            return Ok(reject(RejectionCode::InvalidEvidence, text));
        }
        Err(fault) => return Ok(reject(RejectionCode::InvalidEvidence, format!("it can't be read: {fault}"))),
    };
    let Some(context) = context_of(state, charter, said, &evidence)? else {
        let (present, found) = (charter.epoch.epoch, evidence.epoch());
        let text = format!("this is epoch {present}; evidence of epoch {found} comes too late, or too early");
        return Ok(reject(RejectionCode::OtherEpoch, text));
    };
    let accused = evidence.validator().and_then(|validator| context.set.validator(validator));
    let Some(accused) = accused else {
        return Ok(reject(RejectionCode::InvalidEvidence, "it accuses nobody of its epoch".to_owned()));
    };
    let key = Conviction::state_key(&accused.consensus_key, evidence.code());
    if state.contains(&key)? {
        let text = format!("{} is convicted of {} already", accused.name, evidence.kind());
        return Ok(reject(RejectionCode::AlreadyConvicted, text));
    }
    if !said.judged.insert(author) {
        let text = "evidence of this author was judged at this sequence already; show it again".to_owned();
        return Ok(reject(RejectionCode::TooMuchEvidence, text));
    }
    match evidence.verify(&context) {
        Ok(Accused::Validator(_)) => {}
        Ok(Accused::Author(_)) => {
            return Ok(reject(RejectionCode::InvalidEvidence, "it accuses an author".to_owned()));
        }
        Err(fault) => return Ok(reject(RejectionCode::InvalidEvidence, fault.to_string())),
    }
    let conviction = conviction(said, accused.consensus_key, &evidence);
    state.store(key, &conviction);
    if conviction.blames() {
        epochs::convict(state, charter.epoch, said.at, conviction.convicted)?;
    }
    said.convictions.push(conviction);
    Ok(Ok(()))
}

fn conviction(said: &Said<'_>, convicted: PublicKey, evidence: &Evidence) -> Conviction {
    Conviction {
        convicted,
        kind: evidence.code(),
        evidence: evidence.id(),
        epoch: evidence.epoch(),
        shown_by: said.operation.author(),
        operation: said.operation.id(),
        sequence: said.at.sequence,
        time: said.at.time,
    }
}

/// What judges the evidence: the present epoch, or the one before, which the state remembers. What was done shortly
/// before an epoch's end is often seen only after it; what lies further back is the operators' to judge, by
/// `quorate evidence verify`.
fn context_of<R: StateReader>(
    state: &Overlay<'_, R>,
    charter: &Charter<'_>,
    said: &Said<'_>,
    evidence: &Evidence,
) -> Result<Option<Context>, StoreError> {
    let (present, epoch) = (charter.epoch.epoch, evidence.epoch());
    if epoch == present {
        return Ok(Some(charter.epoch.context(said.cluster, charter.scheme, charter.start)));
    }
    let before = epochs::before(state)?.filter(|before| before.definition.epoch == epoch && epoch.next() == present);
    Ok(before.map(|before| before.definition.context(said.cluster, charter.scheme, before.start)))
}

/// Whether blame follows from what the owner of a key is convicted of.
pub(super) fn is_blamed<R: StateReader>(state: &Overlay<'_, R>, key: &PublicKey) -> Result<bool, StoreError> {
    let of_key = [CONVICTIONS, key.as_bytes()].concat();
    let entries = state.scan(&of_key, usize::from(u8::MAX) + 1)?;
    let convictions = entries.iter().map(|(key, bytes)| decode::<Conviction>(key, bytes));
    Ok(convictions.collect::<Result<Vec<_>, _>>()?.iter().any(Conviction::blames))
}

/// All convictions, by key and kind.
pub(crate) fn all<R: StateReader>(state: &Overlay<'_, R>) -> Result<Vec<Conviction>, StoreError> {
    let entries = state.scan(CONVICTIONS, MAX_CONVICTIONS)?;
    entries.iter().map(|(key, bytes)| decode(key, bytes)).collect()
}
