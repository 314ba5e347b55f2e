//! Files of certificates, for adapters.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::BrokerError;

/// The greatest file. That of all authorities of a system has some hundred kilobytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How files of text that are not plain begin: the marks of UTF-8 and of both forms of UTF-16.
const MARKS: [&[u8]; 3] = [b"\xEF\xBB\xBF", b"\xFF\xFE", b"\xFE\xFF"];

/// Reads a PEM file of certificates, and checks that each can be trusted as an authority's. For adapters: client libraries
/// tell of a bad file late, by a panic, or not at all. It blocks while the file is read, which has 4 MiB at most.
///
/// # Errors
/// [`BrokerError::Invalid`] names the file, and shows nothing of its content.
///
/// ```
/// let error = recount_messaging::read_certificates("missing.pem".as_ref()).unwrap_err();
/// assert!(error.to_string().contains("missing.pem"));
/// ```
pub fn read_certificates(file: &Path) -> Result<Vec<u8>, BrokerError> {
    let checked = read(file).and_then(|pem| check(&pem).map(|()| pem));
    checked.map_err(|cure| BrokerError::Invalid {
        kind: "file of certificates",
        value: file.display().to_string(),
        cure,
    })
}

/// Reads a file. The error is the cure.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("name a readable PEM file: {error}");
    // Opening a pipe would wait for its writer.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err("name a regular file, and no directory, pipe or device".to_owned());
    }
    let mut pem = Vec::new();
    let opened = File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut pem));
    match opened.map_err(unreadable)? as u64 > MAX_BYTES {
        true => Err(format!("name a PEM file of {} MiB at most", MAX_BYTES >> 20)),
        false => Ok(pem),
    }
}

/// Checks the content of a file. The error is the cure.
fn check(pem: &[u8]) -> Result<(), String> {
    if MARKS.iter().any(|mark| pem.starts_with(mark)) {
        return Err("save it as plain text without a byte order mark".to_owned());
    }
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        count += 1;
        let damaged = |_| format!("certificate {count} in it is damaged: name a whole PEM file");
        let certificate = certificate.map_err(damaged)?;
        webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|error| format!("certificate {count} in it is none that can be trusted: {error}"))?;
    }
    if count == 0 { Err("name a PEM file that has a certificate".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A directory that is removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("recount-certificates-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, content: &[u8]) -> PathBuf {
            let file = self.0.join("ca.pem");
            fs::write(&file, content).unwrap();
            file
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn certificate() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    /// The text of the error, which names the file.
    fn refused(file: &Path) -> String {
        let error = read_certificates(file).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(&file.display().to_string()) && !text.contains("hunter2"), "{text}");
        text
    }

    #[test]
    fn whole_certificates_are_read_as_they_are() {
        let directory = Directory::new("whole");
        let two = format!("a comment\n{}\r\n{}", certificate(), certificate());
        assert_eq!(read_certificates(&directory.file(two.as_bytes())).unwrap(), two.as_bytes());
    }

    #[test]
    fn a_file_without_whole_certificates_is_named_and_not_shown() {
        let directory = Directory::new("damaged");
        let block = |base64: &str| format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        for (text, cure) in [
            (String::new(), "that has a certificate"),
            ("hunter2".to_owned(), "that has a certificate"),
            (block("hunter2?"), "certificate 1 in it is damaged"),
            (certificate().replace("-----END", "hunter2"), "certificate 1 in it is damaged"),
            // An empty sequence, and some text.
            (block("MAA="), "certificate 1 in it is none"),
            (certificate() + &block("aHVudGVyMg=="), "certificate 2 in it is none"),
        ] {
            let refused = refused(&directory.file(text.as_bytes()));
            assert!(refused.contains(cure), "{refused}");
        }
    }

    #[test]
    fn a_file_with_a_byte_order_mark_says_so() {
        let directory = Directory::new("mark");
        for mark in MARKS {
            let refused = refused(&directory.file(&[mark, certificate().as_bytes()].concat()));
            assert!(refused.contains("byte order mark"), "{refused}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let directory = Directory::new("large");
        let mut content = certificate().into_bytes();
        content.resize(MAX_BYTES as usize, b'\n');
        read_certificates(&directory.file(&content)).unwrap();
        content.push(b'\n');
        assert!(refused(&directory.file(&content)).contains("4 MiB"));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let directory = Directory::new("pipe");
        let pipe = directory.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let places = [pipe, directory.0.clone(), PathBuf::from("/dev/zero")];
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(places.map(|place| refused(&place))));
        let refused = ended.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(refused.iter().all(|text| text.contains("name a regular file")), "{refused:?}");
    }
}
