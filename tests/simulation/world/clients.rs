//! The clients of a world: what they ask, how, and what they think of the replies.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use dns64::datagram::{Channel, Client, Datagram};
use dns64::engine::Verdict;

use super::{World, hex};
use crate::check;
use crate::oracle::{self, Intent, View, What};
use crate::zone::{self, rtype};

/// A query that has no reply yet.
pub(crate) struct Open {
    pub(crate) id: u16,
    pub(crate) client: Client,
    pub(crate) question: Vec<u8>,
    pub(crate) arrived: u64,
    pub(crate) limit: usize,
    pub(crate) flags: u16,
    pub(crate) intent: Intent,
}

impl World {
    /// A client asks: what nobody has asked before, or the same again.
    pub(super) fn ask(&mut self) {
        let worker = self.random.below(u64::from(self.setting.workers)) as usize;
        let (bytes, client, intent) = if !self.asked.is_empty() && self.random.per_mille(150) {
            // The same client asks the same with the same ID.
            self.random.pick(&self.asked).clone()
        } else {
            let (bytes, client, intent) = self.make_query();
            self.asked.push((bytes.clone(), client, intent.clone()));
            (bytes, client, intent)
        };
        let limit = match (client.channel.is_udp(), intent.edns) {
            (false, _) => 65_535,
            (true, Some((payload, _))) => usize::from(payload).clamp(512, 1_232),
            (true, None) => 512,
        };
        trace!(self, "client {} to worker {worker}: {intent:?} {}", client.peer, hex(&bytes));
        self.tally.queries += 1;
        let mut out = vec![0; limit];
        let now = self.moment();
        let verdict =
            self.engines[worker].handle_query(Datagram { bytes: &bytes, client }, &mut out, now);
        let whole = bytes.len() >= 12;
        let open = Open {
            id: if whole { u16::from_be_bytes([bytes[0], bytes[1]]) } else { 0 },
            client,
            question: question_of(&bytes, &intent),
            arrived: self.now,
            limit,
            flags: if whole { u16::from_be_bytes([bytes[2], bytes[3]]) } else { 0 },
            intent,
        };
        match verdict {
            Verdict::Reply { len } => {
                let octets = out[..len].to_vec();
                self.judge(&open, &octets);
            }
            Verdict::Pending => self.open.push(open),
            Verdict::Drop(_) => {
                assert!(matches!(open.intent.what, What::Malformed), "a good query is answered");
            }
        }
        self.drain(worker);
    }

    /// A reply that had to wait.
    pub(super) fn reply(&mut self, client: Client, octets: &[u8]) {
        let id = u16::from_be_bytes([octets[0], octets[1]]);
        let found = self.open.iter().position(|open| {
            open.client == client && open.id == id && octets[12..].starts_with(&open.question)
        });
        let Some(found) = found else {
            panic!("I1: nobody waits for this reply to {}: {}", client.peer, hex(octets));
        };
        let open = self.open.remove(found);
        self.judge(&open, octets);
    }

    fn judge(&mut self, open: &Open, octets: &[u8]) {
        trace!(
            self,
            "reply to {} after {}: {}",
            open.client.peer,
            self.now - open.arrived,
            hex(octets)
        );
        self.tally.replies += 1;
        let code = octets[3] & 15;
        self.tally.failures += u64::from(code == 2);
        let slow =
            matches!(open.intent.what, What::Name(number) if self.meaning(number).delay_ms > 550);
        let troubled = self.setting.is_faulty() || slow;
        let edns_lost = self.setting.habits.iter().any(|habits| habits.no_edns);
        let meaning = |number| self.meaning(number);
        let allowed =
            oracle::allowed(&open.intent, self.setting.seed, &meaning, troubled, edns_lost);
        check::reply(self, open, octets, &allowed);
    }

    fn make_query(&mut self) -> (Vec<u8>, Client, Intent) {
        let random = &mut self.random;
        let view = if self.setting.plain {
            View::Default
        } else if random.per_mille(20) {
            View::Stranger
        } else {
            *random.pick(&[
                View::Default,
                View::Default,
                View::Default,
                View::Two,
                View::Two,
                View::Off,
                View::Odd,
                View::Odd,
            ])
        };
        let host = random.below(5) as u16;
        let ipv6 = |third: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, host));
        let v4 = random.per_mille(300);
        let address = match view {
            View::Default if v4 => IpAddr::from([10, 1, 0, host as u8]),
            View::Default => ipv6(1),
            View::Two => ipv6(2),
            View::Off if v4 => IpAddr::from([10, 3, 0, host as u8]),
            View::Off => ipv6(3),
            View::Odd => ipv6(4),
            View::Stranger => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb9, 0, 0, 0, 0, 0, host)),
        };
        let port = 1_024 + random.below(4) as u16;
        let udp = random.per_mille(850);
        if !udp {
            self.connections += 1;
        }
        let channel = if udp {
            Channel::Udp { socket: 0 }
        } else {
            Channel::Tcp { connection: self.connections, socket: 0 }
        };
        let client = Client {
            peer: SocketAddr::new(address, port),
            local: IpAddr::from([192, 0, 2, 99]),
            interface: 0,
            channel,
        };
        // A few names are asked for often.
        let number = random.below(zone::NAMES).min(random.below(zone::NAMES));
        let plain = self.setting.plain;
        let (what, rtype) = match random.below(100) {
            _ if plain => (What::Name(number), rtype::AAAA),
            0..55 => (What::Name(number), rtype::AAAA),
            55..67 => (What::Name(number), rtype::A),
            67..75 => {
                let types = [16, 255, 6, 65, 46, 252, 43, 28];
                (What::Name(number), *random.pick(&types))
            }
            75..88 => {
                let mut prefixes = view.prefixes();
                prefixes.push(View::Default.prefixes()[0]);
                let prefix = *random.pick(&prefixes);
                let bits = random.pick(&[0x0a01_0203, 0x1404_0506, 0x1404_0507, 0x0909_0909]);
                let rtype = *random.pick(&[12, 12, 12, 12, 12, 1]);
                (What::Reverse(prefix, (*bits).into()), rtype)
            }
            88..92 => (What::Ipv4Only, *random.pick(&[28, 28, 1, 16])),
            92..95 => (What::Missing, *random.pick(&[28, 1])),
            _ => (What::Malformed, rtype::AAAA),
        };
        let payload = *random.pick(&[0, 512, 700, 1_232, 4_096]);
        let intent = Intent {
            view,
            what,
            rtype,
            recursion_desired: plain || random.per_mille(950),
            checking_disabled: !plain && random.per_mille(80),
            wants_authentic: random.per_mille(150),
            edns: random.per_mille(700).then(|| (payload, random.per_mille(300))),
        };
        // One client's queries differ in their ID, or in nothing; those of several clients meet.
        let same_client = |(_, asked, _): &&(Vec<u8>, Client, Intent)| asked.peer == client.peer;
        let id = self.asked.iter().filter(same_client).count() as u16;
        let bytes = self.octets_of(&intent, id);
        (bytes, client, intent)
    }

    fn octets_of(&mut self, intent: &Intent, id: u16) -> Vec<u8> {
        let mut name = match intent.what {
            What::Name(number) => zone::question_name(number, &self.meaning(number)),
            What::Reverse(prefix, address) => zone::ip6_arpa(oracle::embed(prefix, address)),
            What::Ipv4Only => b"\x08ipv4only\x04arpa\0".to_vec(),
            What::Missing | What::Malformed => b"\x07missing\x04test\0".to_vec(),
        };
        let random = &mut self.random;
        if random.per_mille(500) {
            for octet in &mut name {
                if octet.is_ascii_lowercase() && random.per_mille(500) {
                    octet.make_ascii_uppercase();
                }
            }
        }
        let mut flags = 0_u16;
        for (set, bit) in [
            (intent.recursion_desired, 0x100),
            (intent.checking_disabled, 0x10),
            (intent.wants_authentic, 0x20),
        ] {
            flags |= if set { bit } else { 0 };
        }
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(intent.edns.is_some())]);
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&intent.rtype.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        if let Some((payload, dnssec_ok)) = intent.edns {
            bytes.extend_from_slice(&[0, 0, 41]);
            bytes.extend_from_slice(&payload.to_be_bytes());
            bytes.extend_from_slice(&[0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
        if matches!(intent.what, What::Malformed) {
            match random.below(7) {
                0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
                1 => bytes[5] = random.below(3) as u8 * 2,
                2 => bytes[2] |= 0x80,
                3 => bytes[2] |= 0x28,
                4 => bytes[12] = 0xc0,
                5 => bytes[7] = 1,
                _ => bytes[11] = 17,
            }
        }
        bytes
    }
}

/// The question's octets of a query that is right.
fn question_of(bytes: &[u8], intent: &Intent) -> Vec<u8> {
    if matches!(intent.what, What::Malformed) {
        return Vec::new();
    }
    let end = if intent.edns.is_some() { bytes.len() - 11 } else { bytes.len() };
    bytes[12..end].to_vec()
}
