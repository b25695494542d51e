//! The file of a snapshot, written and read.
//!
//! Integers are little-endian:
//!
//! ```text
//!  octets 0-11   "dns64d cache"
//!  octets 12-15  version of the format
//!  octets 16-23  fingerprint of what the configuration says of answers
//!  octets 24-31  when it was begun: microseconds since 1970
//!  octets 32-    pages of records, each behind its length in four octets
//!                four octets of 0
//!                how many records there are, checksum of all before it: eight octets each
//! ```
//!
//! A file is written beside the one that it takes the place of, and only when all of it has reached
//! the disk it gets its name. So there is the old one or the new one, whenever the power fails.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dns64_ebpf::hash;

use crate::engine::snapshot::Record;

/// What a snapshot begins with.
const MAGIC: [u8; 12] = *b"dns64d cache";

/// The version of the format, of compiled answers within it too: whoever changes either counts it
/// up.
const VERSION: u32 = 1;

/// Octets of the header.
const HEADER_LEN: usize = 32;

/// Octets of the longest page: what a worker gives at once, and what one bucket of the cache holds.
const PAGE_LEN_MAX: usize = 1 << 20;

/// The mode of the file: whose names are asked for is for nobody else.
const MODE: u32 = 0o600;

/// Octets that are read and written at once.
const BUFFER_LEN: usize = 256 << 10;

/// How far the clock may have gone back since a file was written, in microseconds: two clocks agree
/// no better.
const AHEAD_MAX_US: u64 = 2_000_000;

/// A checksum that sees every change of one word, and misses others once in 2^64.
#[derive(Clone, Copy, Debug, Default)]
struct Checksum(u64);

impl Checksum {
    /// Takes the next octets. What they are divided into counts.
    fn add(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks();
        for word in words {
            self.0 = hash::mix_word(self.0, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.0 = hash::mix_word(self.0, u64::from_le_bytes(last));
        self.0 = hash::finish(self.0, octets.len() as u64);
    }
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the configuration that it was written under says of answers.
    pub fingerprint: u64,
    /// When it was begun: microseconds since 1970.
    pub written_us: u64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        octets[..12].copy_from_slice(&MAGIC);
        octets[12..16].copy_from_slice(&VERSION.to_le_bytes());
        octets[16..24].copy_from_slice(&self.fingerprint.to_le_bytes());
        octets[24..].copy_from_slice(&self.written_us.to_le_bytes());
        octets
    }

    fn decode(octets: &[u8; HEADER_LEN]) -> Result<Self, Refusal> {
        let word = |number: usize| u64::from_le_bytes(octets.as_chunks().0[number]);
        let version = (word(1) >> 32) as u32;
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        Ok(Self { fingerprint: word(2), written_us: word(3) })
    }
}

/// How much has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Octets of the file.
    pub octets: u64,
}

/// A file that is being written. Unless it is published, nothing is left of it.
#[derive(Debug)]
pub struct Writer {
    file: BufWriter<File>,
    /// Where it is now.
    draft: PathBuf,
    /// Where it belongs.
    path: PathBuf,
    checksum: Checksum,
    written: Written,
    is_published: bool,
}

impl Writer {
    /// Begins a file that will be at `path`; until then its name ends with `suffix`, too.
    ///
    /// # Errors
    /// Those of the system; and if at `path` is something that is no snapshot, since that is
    /// somebody else's.
    pub fn create(path: &Path, suffix: &str, header: Header) -> io::Result<Self> {
        refuse_foreign(path)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push(suffix);
        let draft = PathBuf::from(draft);
        match fs::remove_file(&draft) {
            // Of a program that was killed.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&draft)?;
        let mut writer = Self {
            file: BufWriter::with_capacity(BUFFER_LEN, file),
            draft,
            path: path.to_owned(),
            checksum: Checksum::default(),
            written: Written::default(),
            is_published: false,
        };
        writer.write(&header.encode())?;
        Ok(writer)
    }

    /// Writes records, one behind the other.
    ///
    /// # Errors
    /// Those of the system.
    pub fn add(&mut self, page: &[u8], records: u64) -> io::Result<()> {
        if page.is_empty() {
            return Ok(());
        }
        let too_long = || io::Error::other("a page of the cache is too long");
        let len = u32::try_from(page.len()).ok().filter(|_| page.len() <= PAGE_LEN_MAX);
        self.write(&len.ok_or_else(too_long)?.to_le_bytes())?;
        self.write(page)?;
        self.written.records += records;
        Ok(())
    }

    /// Ends the file and waits until the disk has it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn finish(mut self) -> io::Result<Finished> {
        self.write(&[0; 4])?;
        self.write(&self.written.records.to_le_bytes())?;
        let checksum = self.checksum.0.to_le_bytes();
        self.write(&checksum)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        Ok(Finished(self))
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.checksum.add(octets);
        self.written.octets += octets.len() as u64;
        self.file.write_all(octets)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_published {
            // What is left of it is overwritten by the next one.
            let _left = fs::remove_file(&self.draft);
        }
    }
}

/// A whole file that has not got its name yet.
#[derive(Debug)]
pub struct Finished(Writer);

impl Finished {
    /// Gives the file its name, in place of an earlier one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn publish(mut self) -> io::Result<Written> {
        fs::rename(&self.0.draft, &self.0.path)?;
        self.0.is_published = true;
        if let Some(directory) = self.0.path.parent() {
            // Some file systems cannot, and then it need not be.
            let _not_synced = File::open(directory).and_then(|directory| directory.sync_all());
        }
        Ok(self.0.written)
    }
}

/// Fails if at `path` is something that is no snapshot.
fn refuse_foreign(path: &Path) -> io::Result<()> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut first = Vec::new();
    if metadata.is_file() {
        File::open(path)?.take(HEADER_LEN as u64).read_to_end(&mut first)?;
    }
    let is_ours = metadata.is_file() && begins_as_ours(&first);
    if is_ours { Ok(()) } else { Err(io::Error::other(Refusal::Foreign.to_string())) }
}

/// Whether a file that begins with these octets is a snapshot, or was to become one.
fn begins_as_ours(first: &[u8]) -> bool {
    let len = first.len().min(MAGIC.len());
    first[..len] == MAGIC[..len]
}

/// A file all of which has been looked at.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    /// What it says of itself.
    pub header: Header,
    /// How much it holds.
    pub written: Written,
}

impl Reader {
    /// Opens a file and looks at all of it: that it is whole, and that every record in it is one.
    /// `None` if there is no file. What is in it need not hold, see [`Reader::accept`].
    ///
    /// # Errors
    /// [`Refusal`]: it cannot be used.
    pub fn open(path: &Path) -> Result<Option<Self>, Refusal> {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(Refusal::Foreign),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Refusal::Io(error)),
        }
        let file = File::open(path)?;
        let octets = file.metadata()?.len();
        let mut file = BufReader::with_capacity(BUFFER_LEN, file);
        let mut first = Vec::with_capacity(HEADER_LEN);
        (&mut file).take(HEADER_LEN as u64).read_to_end(&mut first)?;
        if !begins_as_ours(&first) {
            return Err(Refusal::Foreign);
        }
        let header = Header::decode(first.first_chunk().ok_or(Refusal::Corrupt)?)?;
        let mut reader = Self { file, header, written: Written { records: 0, octets } };
        reader.verify(&first)?;
        reader.file.seek(SeekFrom::Start(HEADER_LEN as u64))?;
        Ok(Some(reader))
    }

    /// Reads the rest of the file.
    fn verify(&mut self, header: &[u8]) -> Result<(), Refusal> {
        let mut checksum = Checksum::default();
        checksum.add(header);
        let mut page = Vec::new();
        while self.next_page(&mut page)? {
            checksum.add(&(page.len() as u32).to_le_bytes());
            checksum.add(&page);
            let mut rest = page.as_slice();
            while !rest.is_empty() {
                let record = Record::split(rest).filter(|(record, _)| record.is_restorable());
                let Some((_, after)) = record else { return Err(Refusal::Corrupt) };
                self.written.records += 1;
                rest = after;
            }
        }
        checksum.add(&[0; 4]);
        let mut end = [0; 16];
        self.read(&mut end)?;
        let (count, sum) = end.split_at(8);
        checksum.add(count);
        let is_whole = count == self.written.records.to_le_bytes()
            && sum == checksum.0.to_le_bytes()
            && self.file.read(&mut [0])? == 0;
        if is_whole { Ok(()) } else { Err(Refusal::Corrupt) }
    }

    /// How long ago the file was written, in microseconds, at this time of day (microseconds since
    /// 1970), if its answers hold under a configuration with this fingerprint.
    ///
    /// # Errors
    /// [`Refusal`]: they do not.
    pub const fn accept(&self, fingerprint: u64, now_us: u64) -> Result<u64, Refusal> {
        if self.header.fingerprint != fingerprint {
            return Err(Refusal::OtherConfiguration);
        }
        if self.header.written_us > now_us.saturating_add(AHEAD_MAX_US) {
            return Err(Refusal::Future);
        }
        Ok(now_us.saturating_sub(self.header.written_us))
    }

    /// Reads the next page; false if there is none.
    ///
    /// # Errors
    /// If the file has changed since it was opened, or the system cannot read it.
    pub fn next_page(&mut self, page: &mut Vec<u8>) -> Result<bool, Refusal> {
        let mut len = [0; 4];
        self.read(&mut len)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > PAGE_LEN_MAX {
            return Err(Refusal::Corrupt);
        }
        page.resize(len, 0);
        self.read(page)?;
        Ok(len > 0)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Refusal> {
        self.file.read_exact(into).map_err(|error| {
            let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_short { Refusal::Corrupt } else { Refusal::Io(error) }
        })
    }
}

/// Why a file is not used.
#[derive(Debug)]
pub enum Refusal {
    /// It is no snapshot.
    Foreign,
    /// It is one of another format.
    Version(u32),
    /// It is not as it was written.
    Corrupt,
    /// Its answers were got in another way than this configuration wants.
    OtherConfiguration,
    /// It was written later than it is now.
    Future,
    /// The system cannot read it.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str(
                "this is no snapshot of dns64d, and is left alone; remove it, or let \
                 cache.snapshot name another file",
            ),
            Self::Version(version) => {
                write!(f, "it has format {version}, and this version of dns64d has {VERSION}")
            }
            Self::Corrupt => f.write_str("it is cut short or damaged"),
            Self::OtherConfiguration => f.write_str(
                "it was written with other servers, forward zones, DNSSEC settings or limits of \
                 TTLs",
            ),
            Self::Future => {
                f.write_str("it was written later than it is now: the clock has gone back")
            }
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::records::{Made, PlainRecord, Section, compile};
    use crate::engine::snapshot::Life;
    use crate::wire::header::Rcode;
    use crate::wire::name::NameBuf;
    use crate::wire::question::{Class, Rtype};

    const HEADER: Header = Header { fingerprint: 7, written_us: 1_000_000_000 };

    /// A directory of a test, gone at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dns64-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("cache")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _gone = fs::remove_dir_all(&self.0);
        }
    }

    /// The record of a name with a TXT record.
    fn record(name: &str) -> Vec<u8> {
        let name: NameBuf = name.parse().unwrap();
        let text = PlainRecord {
            section: Section::Answer,
            name: name.clone(),
            rtype: Rtype::TXT,
            ttl_secs: 300,
            rdata: b"\x04text".to_vec(),
        };
        let made = Made {
            question_name: name.as_wire(),
            rcode: Rcode::NOERROR,
            info_code: None,
            class: Class::IN,
            ttl_secs: 300,
        };
        let mut answer = Vec::new();
        compile(&made, &[text], &mut answer).unwrap();
        let record = Record {
            name: name.as_wire(),
            rtype: Rtype::TXT,
            class: Class::IN,
            variant: 0,
            flags: 0,
            life: Life { age_secs: 1, fresh_secs: 300, usable_secs: 400 },
            answer: &answer,
            companion: None,
        };
        let mut octets = Vec::new();
        record.write(&mut octets);
        octets
    }

    /// Writes a file of two pages with three records; what they are.
    fn write(path: &Path) -> [Vec<u8>; 2] {
        let pages = [[record("a.test"), record("b.test")].concat(), record("c.test")];
        let mut writer = Writer::create(path, ".new", HEADER).unwrap();
        writer.add(&pages[0], 2).unwrap();
        writer.add(&[], 0).unwrap();
        writer.add(&pages[1], 1).unwrap();
        let written = writer.finish().unwrap().publish().unwrap();
        assert_eq!((written.records, written.octets), (3, fs::metadata(path).unwrap().len()));
        pages
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        let directory = Directory::new("snapshot-good");
        assert!(Reader::open(&directory.file()).unwrap().is_none(), "there is no file yet");
        let pages = write(&directory.file());
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1, "nothing is left beside it");
        let mut reader = Reader::open(&directory.file()).unwrap().unwrap();
        assert_eq!((reader.header, reader.written.records), (HEADER, 3));
        let mut page = Vec::new();
        for expected in pages {
            assert!(reader.next_page(&mut page).unwrap());
            assert_eq!(page, expected);
        }
        assert!(!reader.next_page(&mut page).unwrap());
    }

    #[test]
    fn what_is_cut_short_or_changed_in_one_bit_is_refused() {
        let directory = Directory::new("snapshot-bad");
        write(&directory.file());
        let good = fs::read(directory.file()).unwrap();
        for len in 0..good.len() {
            fs::write(directory.file(), &good[..len]).unwrap();
            let refusal = Reader::open(&directory.file()).unwrap_err();
            assert!(matches!(refusal, Refusal::Corrupt), "{len}: {refusal}");
        }
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[place] ^= 1 << bit;
                fs::write(directory.file(), &changed).unwrap();
                let refusal = Reader::open(&directory.file()).unwrap_err();
                let is_right = match refusal {
                    Refusal::Foreign => place < 12,
                    Refusal::Version(_) => (12..16).contains(&place),
                    Refusal::Corrupt => place >= 16,
                    Refusal::OtherConfiguration | Refusal::Future | Refusal::Io(_) => false,
                };
                assert!(is_right, "{place}: {refusal}");
            }
        }
        fs::write(directory.file(), [&good[..], b"more"].concat()).unwrap();
        assert!(matches!(Reader::open(&directory.file()), Err(Refusal::Corrupt)));
    }

    #[test]
    fn a_whole_file_without_a_good_record_is_refused() {
        let directory = Directory::new("snapshot-records");
        let mut page = record("a.test");
        let last = page.len() - 1;
        page[last] ^= 1;
        let mut writer = Writer::create(&directory.file(), ".new", HEADER).unwrap();
        writer.add(&page, 1).unwrap();
        writer.finish().unwrap().publish().unwrap();
        assert!(matches!(Reader::open(&directory.file()), Err(Refusal::Corrupt)));
    }

    #[test]
    fn answers_are_taken_under_the_same_configuration_and_not_before_they_were_written() {
        let directory = Directory::new("snapshot-terms");
        write(&directory.file());
        let reader = Reader::open(&directory.file()).unwrap().unwrap();
        let now_us = HEADER.written_us + 5;
        assert!(matches!(reader.accept(7, now_us), Ok(5)));
        assert!(matches!(reader.accept(8, now_us), Err(Refusal::OtherConfiguration)));
        let before_us = HEADER.written_us - AHEAD_MAX_US;
        assert!(matches!(reader.accept(7, before_us), Ok(0)));
        assert!(matches!(reader.accept(7, before_us - 1), Err(Refusal::Future)));
    }

    #[test]
    fn what_is_not_published_leaves_the_earlier_file_and_what_is_no_snapshot_stays() {
        let directory = Directory::new("snapshot-foreign");
        write(&directory.file());
        let good = fs::read(directory.file()).unwrap();
        let mut writer = Writer::create(&directory.file(), ".new", HEADER).unwrap();
        writer.add(&record("other.test"), 1).unwrap();
        drop(writer);
        drop(Writer::create(&directory.file(), ".new", HEADER).unwrap().finish().unwrap());
        assert_eq!(fs::read(directory.file()).unwrap(), good);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1, "nothing is left beside it");

        fs::write(directory.file(), b"somebody's notes").unwrap();
        assert!(matches!(Reader::open(&directory.file()), Err(Refusal::Foreign)));
        let error = Writer::create(&directory.file(), ".new", HEADER).unwrap_err();
        assert!(error.to_string().contains("no snapshot"), "{error}");
        assert_eq!(fs::read(directory.file()).unwrap(), b"somebody's notes");
        assert!(matches!(Reader::open(&directory.0), Err(Refusal::Foreign)), "a directory");
        fs::write(directory.file(), b"").unwrap();
        write(&directory.file());
    }
}
