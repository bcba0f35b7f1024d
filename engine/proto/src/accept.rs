//! The accepting side of a handshake.
//!
//! It asks its caller two questions ([`Need`]): which key belongs to a key id, and, only after
//! both proofs hold, what to do about the claimed session. Between the two it is plain data and
//! may move to the shard that owns the session.

use crate::feature::Features;
use crate::handshake_error::HandshakeError;
use crate::hello::{
    Challenge, Established, Hello, Identity, Intent, LocalEndpoint, PREFIX_BYTES, PeerIdentity,
    Role, SessionLimits, Verdict, message, parse_prefix,
};
use crate::id::{Epoch, SessionId};
use crate::key::Key;
use crate::name::{EndpointName, KeyId};
use crate::proof::{Label, derive, is_same, prove};
use crate::refusal::{Refusal, RefusalCode};

/// Whether peers must prove a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Yes.
    Keyed,
    /// No: anybody is believed.
    Insecure,
}

/// Which endpoint names a key may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedNames {
    /// Any.
    Any,
    /// These.
    Only(Vec<EndpointName>),
}

/// What a key id stands for.
#[derive(Clone, Debug)]
pub struct KeyGrant {
    /// The secret.
    pub key: Key,
    /// The names it may claim.
    pub names: AllowedNames,
}

impl KeyGrant {
    /// A key that may claim any name.
    #[must_use]
    pub fn any_name(key: Key) -> Self {
        let names = AllowedNames::Any;
        Self { key, names }
    }
}

/// A question to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Answer with [`Accept::provide_key`].
    Key(KeyId),
    /// Answer with [`Accept::decide`].
    Session(Claim),
}

/// What a peer that has proven itself wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which session.
    pub session: SessionId,
    /// What for.
    pub intent: Intent,
    /// Of the new connection.
    pub epoch: Epoch,
    /// Who it is.
    pub peer: PeerIdentity,
}

/// The caller's answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A session was made for it.
    New {
        /// Of the connection.
        epoch: Epoch,
    },
    /// The session exists and will have this connection.
    Resume {
        /// Of the connection.
        epoch: Epoch,
    },
    /// The session will have this bulk connection besides.
    Attach {
        /// Of the session's message connection.
        epoch: Epoch,
    },
    /// No.
    Refuse(Refusal),
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Hello,
    NeedKey,
    Identity,
    NeedSession,
    Over,
}

/// A handshake as the side that accepted sees it. The caller reads exactly
/// [`bytes_wanted`](Self::bytes_wanted) bytes at a time.
#[derive(Debug)]
pub struct Accept {
    local: LocalEndpoint,
    authentication: Authentication,
    nonce: [u8; 32],
    /// Stands in for the key of an unknown key id. Secret: who could compute the proof made with
    /// it would know that there is no such key id (W-1.11).
    nobody: Key,
    state: State,
    is_asked: bool,
    received: Vec<u8>,
    wanted: usize,
    transmit: Option<Vec<u8>>,
    transcript: Vec<Vec<u8>>,
    hello: Option<Hello>,
    challenge: Option<Challenge>,
    grant: Option<KeyGrant>,
    /// The key id is not ours: the proofs are made with a key nobody has.
    is_key_unknown: bool,
    peer: Option<(PeerIdentity, SessionLimits)>,
    established: Option<Established>,
}

impl Accept {
    /// Begins; the peer speaks first. `seed` must be random, secret and used once: the nonce on
    /// the wire is derived from it.
    #[must_use]
    pub fn new(local: &LocalEndpoint, authentication: Authentication, seed: [u8; 32]) -> Self {
        Self {
            local: local.clone(),
            authentication,
            nonce: derive(&seed, "ringway 1 acceptor nonce"),
            nobody: Key::from_bytes(derive(&seed, "ringway 1 nobody's key")),
            state: State::Hello,
            is_asked: false,
            received: Vec::new(),
            wanted: PREFIX_BYTES,
            transmit: None,
            transcript: Vec::new(),
            hello: None,
            challenge: None,
            grant: None,
            is_key_unknown: false,
            peer: None,
            established: None,
        }
    }

    /// How many bytes to receive next, exactly; 0 while a question is open or when it is over.
    #[must_use]
    pub fn bytes_wanted(&self) -> usize {
        self.wanted
    }

    /// Takes what was received; also in parts.
    ///
    /// # Errors
    /// [`HandshakeError`]: send what [`poll_transmit`](Self::poll_transmit) gives, then close.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        let result = self.take(bytes);
        if let Err(error) = &result {
            self.wanted = 0;
            self.state = State::Over;
            self.transmit = self.refusal_for(error).map(|refusal| {
                // Before the proofs hold a refusal says no more than this, and proves nothing.
                let proof = [0; 32];
                Verdict::Refused { refusal, proof }.emit()
            });
        }
        result
    }

    fn refusal_for(&self, error: &HandshakeError) -> Option<Refusal> {
        let code = match error {
            // Not our protocol: nothing we say would be understood.
            HandshakeError::Magic => return None,
            HandshakeError::Version { .. } => RefusalCode::Version,
            HandshakeError::Proof | HandshakeError::KeyExpected => RefusalCode::Authentication,
            HandshakeError::WeRefused(refusal) => return Some(refusal.clone()),
            _ => RefusalCode::Malformed,
        };
        let text = match code {
            RefusalCode::Authentication => "the key is not accepted".into(),
            _ => error.to_string(),
        };
        Some(Refusal::new(code, &text))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        let count = bytes.len().min(self.wanted);
        self.received.extend_from_slice(&bytes[..count]);
        self.wanted -= count;
        if self.wanted > 0 || count == 0 {
            return Ok(());
        }
        if self.received.len() == PREFIX_BYTES {
            let expected = match self.state {
                State::Hello => message::HELLO,
                _ => message::IDENTITY,
            };
            self.wanted = parse_prefix(&self.received, expected)?;
            return Ok(());
        }
        let received = std::mem::take(&mut self.received);
        match self.state {
            State::Hello => self.on_hello(received),
            State::Identity => self.on_identity(received),
            State::NeedKey | State::NeedSession | State::Over => Ok(()),
        }
    }

    fn on_hello(&mut self, received: Vec<u8>) -> Result<(), HandshakeError> {
        let hello = Hello::parse(&received)?;
        hello.version()?;
        check_role(&hello, self.local.features)?;
        let has_key = hello.key_id.is_some();
        self.transcript.push(received);
        self.hello = Some(hello);
        match (self.authentication, has_key) {
            (Authentication::Keyed, true) => self.state = State::NeedKey,
            (Authentication::Keyed, false) => return Err(HandshakeError::KeyExpected),
            (Authentication::Insecure, _) => self.challenge()?,
        }
        Ok(())
    }

    /// The open question, once.
    pub fn poll_need(&mut self) -> Option<Need> {
        if std::mem::replace(&mut self.is_asked, true) {
            return None;
        }
        match self.state {
            State::NeedKey => self.hello.as_ref()?.key_id.clone().map(Need::Key),
            State::NeedSession => self.claim().map(Need::Session),
            State::Hello | State::Identity | State::Over => {
                self.is_asked = false;
                None
            }
        }
    }

    fn claim(&self) -> Option<Claim> {
        let hello = self.hello.as_ref()?;
        let (peer, _) = self.peer.as_ref()?;
        Some(Claim {
            session: hello.session,
            intent: hello.intent,
            epoch: hello.epoch,
            peer: peer.clone(),
        })
    }

    /// Answers [`Need::Key`]. Without a grant the handshake goes on as with one, with a key that
    /// nobody has: it fails like a wrong proof does, and as late.
    pub fn provide_key(&mut self, grant: Option<KeyGrant>) {
        if self.state != State::NeedKey {
            return;
        }
        self.is_key_unknown = grant.is_none();
        let nobody = || KeyGrant::any_name(self.nobody.clone());
        self.grant = Some(grant.unwrap_or_else(nobody));
        // The hello was checked: making the challenge cannot fail.
        drop(self.challenge());
    }

    fn key(&self) -> Option<&Key> {
        self.grant.as_ref().map(|grant| &grant.key)
    }

    fn challenge(&mut self) -> Result<(), HandshakeError> {
        let hello = self
            .hello
            .as_ref()
            .ok_or(HandshakeError::Malformed("hello"))?;
        let mut challenge = Challenge {
            version: hello.version()?,
            features: hello.features.intersection(self.local.features),
            nonce: self.nonce,
            proof: [0; 32],
        };
        let parts = [&self.transcript[0][..], &challenge.covered()];
        challenge.proof = prove(self.key(), Label::Acceptor, &parts);
        let bytes = challenge.emit();
        self.transcript.push(bytes.clone());
        self.transmit = Some(bytes);
        self.challenge = Some(challenge);
        self.state = State::Identity;
        self.is_asked = false;
        self.wanted = PREFIX_BYTES;
        Ok(())
    }

    fn on_identity(&mut self, received: Vec<u8>) -> Result<(), HandshakeError> {
        let identity = Identity::parse(&received)?;
        let covered = identity.covered();
        let parts = [&self.transcript[0][..], &self.transcript[1], &covered];
        let ours = prove(self.key(), Label::Dialer, &parts);
        if !is_same(&ours, &identity.proof) || self.is_key_unknown {
            return Err(HandshakeError::Proof);
        }
        let is_allowed = match self.grant.as_ref().map(|grant| &grant.names) {
            Some(AllowedNames::Only(names)) => names.contains(&identity.name),
            Some(AllowedNames::Any) | None => true,
        };
        if !is_allowed {
            return Err(HandshakeError::Proof);
        }
        self.transcript.push(received);
        let key_id = match self.authentication {
            Authentication::Keyed => self.hello.as_ref().and_then(|hello| hello.key_id.clone()),
            Authentication::Insecure => None,
        };
        let peer = PeerIdentity {
            name: identity.name,
            incarnation: identity.incarnation,
            key_id,
        };
        self.peer = Some((peer, identity.limits));
        self.state = State::NeedSession;
        self.is_asked = false;
        Ok(())
    }

    /// Announces fewer streams to this peer than to others. To be called before
    /// [`decide`](Self::decide), for a session that has as many.
    pub fn limit_streams(&mut self, streams_max: u64) {
        let limits = &mut self.local.limits;
        limits.streams_max = limits.streams_max.min(streams_max);
    }

    /// Answers [`Need::Session`]: the verdict is ready to be transmitted, and after an acceptance
    /// [`poll_established`](Self::poll_established) has the result.
    pub fn decide(&mut self, decision: Decision) {
        let (State::NeedSession, Some(hello), Some(challenge), Some((peer, peer_limits))) =
            (&self.state, &self.hello, &self.challenge, &self.peer)
        else {
            return;
        };
        let (epoch, resumed) = match decision {
            Decision::New { epoch } => (epoch, false),
            Decision::Resume { epoch } | Decision::Attach { epoch } => (epoch, true),
            Decision::Refuse(refusal) => {
                let verdict = |proof| Verdict::Refused {
                    refusal: refusal.clone(),
                    proof,
                };
                let proof = self.prove_verdict(&verdict([0; 32]));
                self.transmit = Some(verdict(proof).emit());
                self.state = State::Over;
                return;
            }
        };
        let verdict = |proof| Verdict::Accepted {
            epoch,
            resumed,
            name: self.local.name.clone(),
            incarnation: self.local.incarnation,
            limits: self.local.limits,
            proof,
        };
        let proof = self.prove_verdict(&verdict([0; 32]));
        self.transmit = Some(verdict(proof).emit());
        self.established = Some(Established {
            session: hello.session,
            epoch,
            role: hello.role,
            version: challenge.version,
            features: challenge.features,
            peer: peer.clone(),
            peer_limits: *peer_limits,
            resumed,
        });
        self.state = State::Over;
    }

    fn prove_verdict(&self, verdict: &Verdict) -> [u8; 32] {
        let covered = verdict.covered();
        let mut parts: Vec<&[u8]> = self.transcript.iter().map(Vec::as_slice).collect();
        parts.push(&covered);
        prove(self.key(), Label::Verdict, &parts)
    }

    /// Whether nothing follows but what is to be transmitted: close after that unless there is
    /// a result.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What to send next, if anything.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take()
    }

    /// The result, once.
    pub fn poll_established(&mut self) -> Option<Established> {
        self.established.take()
    }
}

/// One more connection is for bodies only, needs the feature, and nothing else does (W-1.9).
fn check_role(hello: &Hello, ours: Features) -> Result<(), HandshakeError> {
    let is_attach = hello.intent == Intent::Attach;
    let both = hello.features.intersection(ours);
    let text = if is_attach != (hello.role == Role::Bulk) {
        "the intent to attach and the role of a bulk connection go together (W-1.9)"
    } else if is_attach && !both.contains(Features::BULK_CONNECTIONS) {
        "more than one connection per session is not supported (W-1.9)"
    } else {
        return Ok(());
    };
    let refusal = Refusal::new(RefusalCode::Unsupported, text);
    Err(HandshakeError::WeRefused(refusal))
}
