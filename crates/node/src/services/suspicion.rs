//! What this validator suspects others of, and why, on the wire (accountability §6).

use quorate_replica::suspicion::{Class, Explanation, Level, Point};
use quorate_storage::Store;
use quorate_transport::fault::{ApiFault, Reason};
use quorate_transport::pb::cluster::v1 as pb;
use quorate_types::ids::ValidatorIndex;

use super::Api;
use crate::driver::NodeStatus;

pub(super) const fn level_to_wire(level: Level) -> pb::SuspicionLevel {
    match level {
        Level::Observe => pb::SuspicionLevel::Observe,
        Level::Warn => pb::SuspicionLevel::Warn,
        Level::Throttle => pb::SuspicionLevel::Throttle,
        Level::Deprioritise => pb::SuspicionLevel::Deprioritise,
        Level::Disconnect => pb::SuspicionLevel::Disconnect,
    }
}

/// What is held against a validator, if anything is.
pub(super) fn held_against(status: &NodeStatus, validator: ValidatorIndex) -> Option<&Explanation> {
    status.report.suspicion.suspects.iter().find(|suspect| suspect.validator == validator)
}

pub(super) fn thousandths(suspect: Option<&Explanation>) -> u32 {
    let thousandths = suspect.map_or(0, |suspect| suspect.score.in_thousandths());
    u32::try_from(thousandths).unwrap_or(u32::MAX)
}

impl<S: Store> Api<S> {
    fn suspect(&self, status: &NodeStatus, validator: ValidatorIndex) -> pb::Suspect {
        let held = held_against(status, validator);
        let mostly = held.and_then(|held| held.points.first()).map_or("", |point| point.rule.name());
        pb::Suspect {
            validator: u32::from(validator.0),
            name: self.name(validator).to_owned(),
            score_thousandths: thousandths(held),
            level: level_to_wire(held.map_or(Level::Observe, |held| held.level)).into(),
            mostly: mostly.to_owned(),
        }
    }

    pub(super) fn suspicion_response(&self) -> pb::SuspicionResponse {
        let status = self.status();
        let others = self.context.set.indices().filter(|validator| *validator != self.me);
        pb::SuspicionResponse {
            validator: u32::from(self.me.0),
            many: status.report.suspicion.many,
            suspects: others.map(|validator| self.suspect(&status, validator)).collect(),
        }
    }

    pub(super) fn explain_response(&self, request: &pb::ExplainRequest) -> Result<pb::ExplainResponse, ApiFault> {
        let known = u16::try_from(request.validator).ok().map(ValidatorIndex);
        let Some(validator) = known.filter(|validator| validator.position() < self.context.set.size()) else {
            let text = format!("there is no validator {}; there are {}", request.validator, self.context.set.size());
            return Err(ApiFault::new(Reason::Malformed, text));
        };
        let status = self.status();
        let points = held_against(&status, validator).map(|held| held.points.as_slice()).unwrap_or_default();
        Ok(pb::ExplainResponse {
            suspect: Some(self.suspect(&status, validator)),
            many: status.report.suspicion.many,
            points: points.iter().map(|point| point_to_wire(point, status.at_ms)).collect(),
        })
    }

    /// A sentence for each validator that people are told of.
    pub(super) fn suspicion_problems(&self, status: &NodeStatus) -> Vec<String> {
        let suspicion = &status.report.suspicion;
        let told = suspicion.suspects.iter().filter(|suspect| suspect.level >= Level::Warn);
        let one = |suspect: &Explanation| {
            let mostly = suspect.points.first().map_or("", |point| point.rule.name());
            let name = self.name(suspect.validator);
            format!("suspects {name}: {mostly}, score {}, level {}", suspect.score, suspect.level.name())
        };
        let many = "more than f validators look slow: the network or this validator is the likelier cause";
        told.map(one).chain(suspicion.many.then(|| many.to_owned())).collect()
    }
}

fn point_to_wire(point: &Point, now_ms: u64) -> pb::SuspicionPoint {
    let ago = |at_ms: u64| now_ms.saturating_sub(at_ms);
    let sightings = point.sightings.iter().map(|sighting| pb::Sighting {
        ago_ms: ago(sighting.at_ms),
        count: sighting.count,
        seen: sighting.seen.to_string(),
    });
    pb::SuspicionPoint {
        rule: point.rule.name().to_owned(),
        conduct: point.rule.info().class == Class::Conduct,
        thousandths: u32::try_from(point.points.in_thousandths()).unwrap_or(u32::MAX),
        first_ago_ms: ago(point.first_ms),
        last_ago_ms: ago(point.last_ms),
        count: point.count,
        fades_in_ms: point.fades_at_ms.saturating_sub(now_ms),
        sightings: sightings.collect(),
    }
}
