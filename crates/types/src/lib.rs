//! The words of Quorate: what validators and clients say to each other, and what can be judged from the
//! words alone.
//!
//! * [`ids`], [`set`], [`epoch`], [`quorum`], [`parameters`], [`genesis`], [`kind`]: who takes part, under which rules.
//! * [`operation`], [`value`], [`receipt`]: what clients sign and what they are told (data-model §§1–4).
//! * [`entity`]: what the state holds of an entity; [`sparse`]: the tree over the state (data-model §4.7);
//!   [`snapshot`]: the state as it is handed from one validator to another (protocol §8.7).
//! * [`proposal`], [`vote`], [`view_change`], [`bundle`], [`execution`]: what validators sign (protocol §§2.1–2.11).
//! * [`freshness`]: how far the order has gone, for reads (data-model §5.3).
//! * [`message`]: the frames between validators; [`codec`]: the one encoding of everything signed or stored.
//! * [`rules`]: the context-free rules; [`verified`]: the door that checks them and every signature.
//! * [`contradiction`]: two statements that a correct validator never both signs; [`evidence`]: what convinces anyone
//!   else that a signer broke the rules.
//!
//! Nothing here knows gRPC, a database, a clock or a receiver's state: the words outlive the wire and the
//! disk.

pub mod bundle;
pub mod codec;
pub mod contradiction;
pub mod entity;
pub mod epoch;
pub mod evidence;
pub mod execution;
pub mod freshness;
pub mod genesis;
pub mod ids;
pub mod kind;
pub mod limits;
pub mod merkle;
pub mod message;
pub mod operation;
pub mod parameters;
pub mod promise;
pub mod proposal;
pub mod quorum;
pub mod receipt;
pub mod rules;
pub mod schema;
pub mod set;
pub mod signed;
pub mod snapshot;
pub mod sparse;
pub mod value;
pub mod verified;
pub mod view_change;
pub mod vote;

mod pb;
