//! The dialing side of a handshake.

use crate::feature::Features;
use crate::handshake_error::HandshakeError;
use crate::hello::{
    Challenge, Established, Hello, Identity, Intent, LocalEndpoint, PREFIX_BYTES, PeerIdentity,
    Role, Verdict, message, parse_prefix,
};
use crate::id::{Epoch, SessionId};
use crate::key::Key;
use crate::limit::{VERSION_MAX, VERSION_MIN};
use crate::name::KeyId;
use crate::proof::{Label, is_same, prove};

/// A handshake as the side that dialled sees it. The caller reads exactly
/// [`bytes_wanted`](Self::bytes_wanted) bytes at a time.
#[derive(Debug)]
pub struct Dial {
    local: LocalEndpoint,
    credentials: Option<(KeyId, Key)>,
    /// What the key was before it was changed, while the peer may not have the new one yet.
    previous: Option<Key>,
    hello: Hello,
    transmit: Option<Vec<u8>>,
    /// Everything sent and received so far, a message each: what proofs cover.
    transcript: Vec<Vec<u8>>,
    challenge: Option<Challenge>,
    received: Vec<u8>,
    wanted: usize,
    established: Option<Established>,
}

impl Dial {
    /// Begins; the hello is ready to be transmitted. `nonce` must be random and used once.
    #[must_use]
    pub fn new(
        local: &LocalEndpoint,
        credentials: Option<(KeyId, Key)>,
        intent: Intent,
        session: SessionId,
        epoch: Epoch,
        nonce: [u8; 32],
    ) -> Self {
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: local.features,
            intent,
            role: match intent {
                Intent::New | Intent::Resume => Role::Message,
                Intent::Attach => Role::Bulk,
            },
            session,
            epoch,
            nonce,
            key_id: credentials.as_ref().map(|(id, _)| id.clone()),
        };
        let first = hello.emit();
        Self {
            local: local.clone(),
            credentials,
            previous: None,
            hello,
            transmit: Some(first.clone()),
            transcript: vec![first],
            challenge: None,
            received: Vec::new(),
            wanted: PREFIX_BYTES,
            established: None,
        }
    }

    /// While a key is being changed: also meets a peer that still has the one before, under the
    /// same key id.
    #[must_use]
    pub fn with_previous(mut self, key: Option<Key>) -> Self {
        self.previous = key.filter(|_| self.credentials.is_some());
        self
    }

    /// How many bytes to receive next, exactly; 0 when it is over.
    #[must_use]
    pub fn bytes_wanted(&self) -> usize {
        self.wanted
    }

    /// Takes what was received; also in parts.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        let result = self.take(bytes);
        if result.is_err() {
            self.wanted = 0;
        }
        result
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        let count = bytes.len().min(self.wanted);
        self.received.extend_from_slice(&bytes[..count]);
        self.wanted -= count;
        // Nothing taken: nothing new, or it is over already.
        if self.wanted > 0 || count == 0 {
            return Ok(());
        }
        if self.received.len() == PREFIX_BYTES {
            let expected = match self.challenge {
                None => message::CHALLENGE,
                Some(_) => message::VERDICT,
            };
            self.wanted = parse_prefix(&self.received, expected)?;
            return Ok(());
        }
        let received = std::mem::take(&mut self.received);
        if received[MAGIC_BYTES] == message::VERDICT {
            return self.on_verdict(&received);
        }
        self.on_challenge(received)?;
        self.wanted = PREFIX_BYTES;
        Ok(())
    }

    fn key(&self) -> Option<&Key> {
        self.credentials.as_ref().map(|(_, key)| key)
    }

    fn on_challenge(&mut self, received: Vec<u8>) -> Result<(), HandshakeError> {
        let challenge = Challenge::parse(&received)?;
        if !self.hello.features.contains(challenge.features) {
            return Err(HandshakeError::Malformed("features"));
        }
        let parts = [&self.transcript[0][..], &challenge.covered()];
        let ours = prove(self.key(), Label::Acceptor, &parts);
        // Both are computed and compared, so that the time does not tell which it was.
        let before = prove(self.previous.as_ref(), Label::Acceptor, &parts);
        let is_before = is_same(&before, &challenge.proof) && self.previous.is_some();
        let is_present = is_same(&ours, &challenge.proof);
        if is_before && !is_present {
            // The rest of the handshake is under the key that the peer has.
            let previous = self.previous.take();
            for (credentials, previous) in self.credentials.iter_mut().zip(previous) {
                credentials.1 = previous;
            }
        }
        if !is_present && !is_before {
            return Err(match self.credentials {
                Some(_) if challenge.proof != [0; 32] => HandshakeError::Proof,
                _ => HandshakeError::KeyExpected,
            });
        }
        self.transcript.push(received);
        let mut identity = Identity {
            name: self.local.name.clone(),
            incarnation: self.local.incarnation,
            limits: self.local.limits,
            proof: [0; 32],
        };
        let covered = identity.covered();
        let parts = [&self.transcript[0][..], &self.transcript[1], &covered];
        identity.proof = prove(self.key(), Label::Dialer, &parts);
        let bytes = identity.emit();
        self.transcript.push(bytes.clone());
        self.transmit = Some(bytes);
        self.challenge = Some(challenge);
        Ok(())
    }

    fn on_verdict(&mut self, received: &[u8]) -> Result<(), HandshakeError> {
        let verdict = Verdict::parse(received)?;
        let is_proven = self.is_proven(&verdict);
        let (epoch, resumed, name, incarnation, limits) = match verdict {
            Verdict::Accepted {
                epoch,
                resumed,
                name,
                incarnation,
                limits,
                ..
            } => (epoch, resumed, name, incarnation, limits),
            // Anybody may answer on a port: only who has the key may say what ends or delays a
            // session (W-1.10).
            Verdict::Refused { refusal, .. } if is_proven || refusal.code.is_harmless() => {
                return Err(HandshakeError::Refused(refusal));
            }
            Verdict::Refused { .. } => return Err(HandshakeError::Proof),
        };
        let Some(challenge) = &self.challenge else {
            let (got, expected) = (message::VERDICT, message::CHALLENGE);
            return Err(HandshakeError::Message { got, expected });
        };
        if !is_proven {
            return Err(HandshakeError::Proof);
        }
        if epoch != self.hello.epoch {
            return Err(HandshakeError::Malformed("epoch"));
        }
        self.wanted = 0;
        self.established = Some(Established {
            session: self.hello.session,
            epoch,
            role: self.hello.role,
            version: challenge.version,
            features: challenge.features.intersection(Features::SUPPORTED),
            peer: PeerIdentity {
                name,
                incarnation,
                key_id: self.hello.key_id.clone(),
            },
            peer_limits: limits,
            resumed,
        });
        Ok(())
    }

    /// Both sides have shown the key, and the verdict is about this exchange.
    fn is_proven(&self, verdict: &Verdict) -> bool {
        let (Verdict::Accepted { proof, .. } | Verdict::Refused { proof, .. }) = verdict;
        let covered = verdict.covered();
        let mut parts: Vec<&[u8]> = self.transcript.iter().map(Vec::as_slice).collect();
        parts.push(&covered);
        let ours = prove(self.key(), Label::Verdict, &parts);
        self.challenge.is_some() && is_same(&ours, proof)
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

/// The message's type stands behind the magic.
const MAGIC_BYTES: usize = 8;
