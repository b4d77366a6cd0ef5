//! The verdict table: from what a stranger was answered to what strangers get. Pure, so that every row of it can be tested.
//!
//! Private needs a clear no to every question. Whatever cannot be told is unknown, and unknown is never shown as private.

use crate::catalog::Opening;
use crate::model::Verdict;

/// The answer of an address that cannot be reached.
pub(super) const NO_CONNECTION: &str = "no connection, or no such name";
/// What stores say to a question without a signature that answer it with 400 and not with 403.
const UNSIGNED: [&str; 4] = [
    "InvalidRequest",
    "MissingAuthenticationToken",
    "MissingSecurityHeader",
    "UnsupportedAlgorithm",
];
/// Who asked was not believed to be who they are, which refuses nobody.
const NOT_BELIEVED: [&str; 10] = [
    "AccountProblem",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSecurity",
    "InvalidToken",
    "NotSignedUp",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];
/// Behind a probe's word, where a key pair of another account was enough.
const BY_ANY_ACCOUNT: &str = "-by-any-account";
/// The form of address of what lies in a folder.
pub(super) const FOLDER: &str = "folder";

/// How a bucket is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `endpoint/bucket/name`.
    PathStyle,
    /// `bucket.endpoint/name`; a guess: a store need not have it.
    VirtualHost,
    /// The website endpoint of AWS; a guess too.
    Website,
    /// An address that the operator named: a CDN, a name of one's own.
    Configured,
}

/// What a stranger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    ListV1,
    ListV2,
    ListVersions,
    ListUploads,
    HeadBucket,
    Acl,
    Policy,
    WebsiteConfiguration,
    GetCanary,
    HeadCanary,
    GetObject,
    HeadObject,
    GetMissing,
    HeadMissing,
    Write,
}

/// What the beginning of a body looks like; the body itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Empty,
    /// Begins as our own objects do.
    Sealed,
    /// What an S3 service tells of a bucket: a listing, an access list, a policy, a website.
    Told,
    /// An error document of S3, and its code.
    Code(String),
    Other,
}

/// What a stranger was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An answer of HTTP.
    Http { status: u16, shape: Shape },
    /// None, and why in a few words.
    None(&'static str),
}

/// One question and its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    pub probe: Probe,
    /// The object's path, where one of ours was asked for.
    pub object: Option<String>,
    pub answer: Answer,
}

/// What strangers get through one address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judged {
    pub openings: Vec<Opening>,
    /// What could not be told, in words for people.
    pub unclear: Vec<String>,
    /// What nobody is exposed by, and somebody should know.
    pub warnings: Vec<String>,
    /// The store does not have this form of address.
    pub is_absent: bool,
}

/// What a probe's answer says by itself.
enum Seen {
    Open,
    Shut,
    Absent,
    Unclear(String),
}

impl Judged {
    /// What could not be told, for one reason.
    pub fn unclear(why: String) -> Self {
        Self {
            unclear: vec![why],
            ..Self::default()
        }
    }
}

impl Form {
    /// The word in a row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PathStyle => "path-style",
            Self::VirtualHost => "virtual-host",
            Self::Website => "website",
            Self::Configured => "configured",
        }
    }

    /// Derived from the endpoint: if it is not there, nothing is missing.
    const fn is_guess(self) -> bool {
        matches!(self, Self::VirtualHost | Self::Website)
    }

    /// Whether an S3 service answers there, which says why it refuses.
    pub(super) const fn is_s3(self) -> bool {
        matches!(self, Self::PathStyle | Self::VirtualHost)
    }
}

impl Probe {
    /// The word in a row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ListV1 => "list-v1",
            Self::ListV2 => "list-v2",
            Self::ListVersions => "list-versions",
            Self::ListUploads => "list-uploads",
            Self::HeadBucket => "head-bucket",
            Self::Acl => "acl",
            Self::Policy => "policy",
            Self::WebsiteConfiguration => "website-configuration",
            Self::GetCanary => "get-canary",
            Self::HeadCanary => "head-canary",
            Self::GetObject => "get-object",
            Self::HeadObject => "head-object",
            Self::GetMissing => "get-missing",
            Self::HeadMissing => "head-missing",
            Self::Write => "write",
        }
    }

    /// Asks for an object's name: only a clear refusal proves anything.
    const fn is_of_object(self) -> bool {
        matches!(
            self,
            Self::GetCanary
                | Self::HeadCanary
                | Self::GetObject
                | Self::HeadObject
                | Self::GetMissing
                | Self::HeadMissing
        )
    }

    const fn is_head(self) -> bool {
        matches!(
            self,
            Self::HeadBucket | Self::HeadCanary | Self::HeadObject | Self::HeadMissing
        )
    }

    const fn is_missing(self) -> bool {
        matches!(self, Self::GetMissing | Self::HeadMissing)
    }
}

/// What one address gives away.
pub fn judge(form: Form, asked: &[Asked]) -> Judged {
    let mut judged = Judged::default();
    // Whoever says yes to a name that nobody ever had says yes to everything.
    let says_yes = asked
        .iter()
        .any(|a| a.probe.is_missing() && status(&a.answer).is_some_and(is_success));
    let is_unsigned = asked
        .iter()
        .any(|a| a.probe == Probe::GetCanary && wants_signature(&a.answer));
    for one in asked {
        // A HEAD has no words, and is refused as the rest is.
        if wants_signature(&one.answer) || (is_unsigned && one.probe.is_head() && status(&one.answer) == Some(400)) {
            continue;
        }
        match seen(form, one, says_yes) {
            Seen::Shut => {}
            Seen::Absent => judged.is_absent = true,
            Seen::Open => judged.openings.push(Opening {
                form: form.as_str().to_owned(),
                probe: one.probe.as_str().to_owned(),
                object: one.object.clone(),
            }),
            Seen::Unclear(why) => judged
                .unclear
                .push(format!("{} {}: {why}", form.as_str(), one.probe.as_str())),
        }
    }
    judged.openings.extend(names_told(form, asked));
    let unreachable = |a: &Asked| a.answer == Answer::None(NO_CONNECTION);
    // Of AWS's two names of website endpoints a region has one.
    judged.is_absent |= form == Form::Website && asked.iter().all(unreachable);
    match judged.is_absent {
        true if form.is_guess() => judged.unclear.clear(),
        true => judged
            .unclear
            .push(format!("{}: there is no such bucket", form.as_str())),
        false => {}
    }
    judged
}

/// What any account gets that has nothing to do with us, beside what everybody gets anyway.
pub(super) fn beside_strangers(accounts: Vec<Judged>, strangers: &[Judged]) -> Vec<Judged> {
    let is_open_anyway = |way: &Opening| strangers.iter().any(|judged| judged.openings.contains(way));
    let beside = accounts.into_iter().map(|mut judged| {
        judged.openings.retain(|way| !is_open_anyway(way));
        for way in &mut judged.openings {
            way.probe.push_str(BY_ANY_ACCOUNT);
        }
        for why in &mut judged.unclear {
            why.insert_str(0, "as another account, ");
        }
        judged
    });
    beside.collect()
}

/// A name that nobody has is answered otherwise than one that is refused: strangers learn which names there are.
fn names_told(form: Form, asked: &[Asked]) -> Option<Opening> {
    let of = |probe| asked.iter().find(|a| a.probe == probe).and_then(|a| status(&a.answer));
    let differs = |missing, canary| of(missing) == Some(404) && matches!(of(canary), Some(401 | 403));
    let probe = match () {
        () if differs(Probe::GetMissing, Probe::GetCanary) => Probe::GetMissing,
        () if differs(Probe::HeadMissing, Probe::HeadCanary) => Probe::HeadMissing,
        () => return None,
    };
    // Told already by its code.
    let told = asked.iter().any(|a| a.probe == probe && is_no_such_key(&a.answer));
    (!told).then(|| Opening {
        form: form.as_str().to_owned(),
        probe: probe.as_str().to_owned(),
        object: None,
    })
}

fn seen(form: Form, one: &Asked, says_yes: bool) -> Seen {
    let (status, shape) = match &one.answer {
        Answer::None(why) => return Seen::Unclear((*why).to_owned()),
        Answer::Http { status, shape } => (*status, shape),
    };
    let probe = one.probe;
    if let Shape::Code(code) = shape
        && NOT_BELIEVED.contains(&code.as_str())
    {
        return Seen::Unclear(format!("the account that asked is not believed ({code})"));
    }
    match status {
        200..=299 => success(probe, shape, says_yes),
        300..=399 => Seen::Unclear(format!(
            "it is sent elsewhere ({status}): name the address that answers"
        )),
        401 | 403 if form.is_s3() && !probe.is_head() && !matches!(shape, Shape::Code(_)) => {
            Seen::Unclear(format!("refused ({status}) by something that is no object store"))
        }
        401 | 403 => Seen::Shut,
        404 => absent(form, probe, shape),
        429 => Seen::Unclear("too many questions".to_owned()),
        // What a store does not have it does not give.
        400..=499 | 501 if !probe.is_of_object() => Seen::Shut,
        other => Seen::Unclear(format!("it answered {other}")),
    }
}

fn success(probe: Probe, shape: &Shape, says_yes: bool) -> Seen {
    match (probe, shape) {
        // The bytes speak for themselves.
        (_, Shape::Sealed | Shape::Told) => Seen::Open,
        _ if says_yes => Seen::Unclear("it says yes to everything".to_owned()),
        (Probe::HeadBucket | Probe::HeadCanary | Probe::HeadObject | Probe::Write, _) => Seen::Open,
        _ => Seen::Unclear("yes, with other bytes than ours".to_owned()),
    }
}

fn absent(form: Form, probe: Probe, shape: &Shape) -> Seen {
    match shape {
        Shape::Code(code) if code == "NoSuchKey" => Seen::Open,
        Shape::Code(code) if code == "NoSuchBucket" || (form == Form::Website && code.starts_with("NoSuch")) => {
            Seen::Absent
        }
        Shape::Code(_) if !probe.is_of_object() => Seen::Shut,
        // An address that refuses by saying that nothing is there, as one's own proxy may.
        _ if form == Form::Configured || probe.is_head() => Seen::Shut,
        _ => Seen::Unclear("nothing is there (404), and it does not say what".to_owned()),
    }
}

fn wants_signature(answer: &Answer) -> bool {
    matches!(answer, Answer::Http { status: 400, shape: Shape::Code(code) } if UNSIGNED.contains(&code.as_str()))
}

fn is_no_such_key(answer: &Answer) -> bool {
    matches!(answer, Answer::Http { status: 404, shape: Shape::Code(code) } if code == "NoSuchKey")
}

fn status(answer: &Answer) -> Option<u16> {
    match answer {
        Answer::Http { status, .. } => Some(*status),
        Answer::None(_) => None,
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// The verdict over all addresses of a bucket, each with the questions that it did not answer clearly.
pub fn verdict(addresses: &[Judged], control_was_seen: bool) -> (Verdict, String) {
    if let Some(opening) = addresses.iter().find_map(|judged| judged.openings.first()) {
        let count: usize = addresses.iter().map(|judged| judged.openings.len()).sum();
        let first = match opening.form.as_str() {
            FOLDER => format!(
                "other users of this machine get at the {}: chmod 700, a file 600",
                opening.probe
            ),
            form => format!("open to strangers: {} by {form}", opening.probe),
        };
        return match count {
            1 => (Verdict::Exposed, first),
            more => (Verdict::Exposed, format!("{first}, and {} other ways", more - 1)),
        };
    }
    if !control_was_seen {
        return (
            Verdict::Unknown,
            "the watch did not see its own open listener, so it would not see an open bucket".to_owned(),
        );
    }
    if addresses.iter().all(|judged| judged.is_absent) {
        return (Verdict::Unknown, "it was found at no address".to_owned());
    }
    let unclear: Vec<_> = addresses.iter().flat_map(|judged| &judged.unclear).collect();
    let Some(first) = unclear.first() else {
        let warnings = addresses.iter().flat_map(|judged| &judged.warnings);
        let told = std::iter::once("strangers are refused").chain(warnings.map(String::as_str));
        return (Verdict::Private, told.collect::<Vec<_>>().join("; "));
    };
    let more = match unclear.len() {
        1 => String::new(),
        n => format!(", and {} more questions without a clear answer", n - 1),
    };
    // The usual cause has a way out that nobody guesses.
    let hint = match first.ends_with(NO_CONNECTION) {
        true => "; a store behind a proxy is asked by --watch-proxy, one that has another name by --watch-address",
        false => "",
    };
    (Verdict::Unknown, format!("it cannot be told: {first}{more}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: [Probe; 6] = [
        Probe::GetCanary,
        Probe::HeadCanary,
        Probe::GetObject,
        Probe::HeadObject,
        Probe::GetMissing,
        Probe::HeadMissing,
    ];
    const OTHERS: [Probe; 9] = [
        Probe::ListV1,
        Probe::ListV2,
        Probe::ListVersions,
        Probe::ListUploads,
        Probe::HeadBucket,
        Probe::Acl,
        Probe::Policy,
        Probe::WebsiteConfiguration,
        Probe::Write,
    ];

    fn http(status: u16, shape: Shape) -> Answer {
        Answer::Http { status, shape }
    }

    fn code(word: &str) -> Shape {
        Shape::Code(word.to_owned())
    }

    fn refused(probe: Probe) -> Answer {
        http(
            403,
            if probe.is_head() {
                Shape::Empty
            } else {
                code("AccessDenied")
            },
        )
    }

    /// A private bucket's answers, but for those that a test changes.
    fn answers(changed: &[(Probe, Answer)]) -> Vec<Asked> {
        let asked = NAMED.into_iter().chain(OTHERS).map(|probe| Asked {
            probe,
            object: None,
            answer: changed
                .iter()
                .find(|(p, _)| *p == probe)
                .map_or_else(|| refused(probe), |(_, answer)| answer.clone()),
        });
        asked.collect()
    }

    fn of(form: Form, changed: &[(Probe, Answer)]) -> Verdict {
        verdict(&[judge(form, &answers(changed))], true).0
    }

    #[test]
    fn every_probe_that_is_answered_with_something_of_ours_is_an_opening() {
        for probe in NAMED.into_iter().chain(OTHERS) {
            let shape = match probe {
                Probe::GetCanary | Probe::GetObject => Shape::Sealed,
                Probe::HeadBucket | Probe::HeadCanary | Probe::HeadObject | Probe::Write => Shape::Empty,
                Probe::GetMissing | Probe::HeadMissing => continue,
                _ => Shape::Told,
            };
            let judged = judge(Form::PathStyle, &answers(&[(probe, http(200, shape))]));
            assert_eq!(judged.openings.len(), 1, "{probe:?}");
            assert_eq!(judged.openings[0].probe, probe.as_str());
            assert_eq!(verdict(&[judged], true).0, Verdict::Exposed, "{probe:?}");
        }
    }

    #[test]
    fn a_clear_no_to_every_question_is_private_and_nothing_less() {
        for form in [Form::PathStyle, Form::VirtualHost, Form::Website, Form::Configured] {
            assert_eq!(of(form, &[]), Verdict::Private, "{form:?}");
        }
        for probe in NAMED.into_iter().chain(OTHERS) {
            for answer in [
                Answer::None("no answer in time"),
                http(301, Shape::Empty),
                http(500, Shape::Empty),
                http(503, code("SlowDown")),
                http(429, Shape::Empty),
            ] {
                let verdict = of(Form::PathStyle, &[(probe, answer.clone())]);
                assert_eq!(verdict, Verdict::Unknown, "{probe:?} {answer:?}");
            }
        }
        assert_eq!(
            verdict(&[], true).0,
            Verdict::Unknown,
            "nothing asked is nothing proven"
        );
    }

    #[test]
    fn a_name_that_nobody_has_tells_that_listing_is_allowed() {
        let told = |probe, shape| of(Form::PathStyle, &[(probe, http(404, shape))]);
        assert_eq!(told(Probe::GetMissing, code("NoSuchKey")), Verdict::Exposed);
        assert_eq!(told(Probe::HeadMissing, Shape::Empty), Verdict::Exposed);
        let configured = of(Form::Configured, &[(Probe::GetMissing, http(404, Shape::Other))]);
        assert_eq!(
            configured,
            Verdict::Exposed,
            "the canary is refused, the other name is not there"
        );
        let judged = judge(
            Form::PathStyle,
            &answers(&[(Probe::GetMissing, http(404, code("NoSuchKey")))]),
        );
        assert_eq!(judged.openings.len(), 1, "told once");
    }

    #[test]
    fn an_address_that_knows_no_name_at_all_gives_nothing() {
        let nothing: Vec<_> = NAMED.map(|probe| (probe, http(404, Shape::Other))).to_vec();
        assert_eq!(of(Form::Configured, &nothing), Verdict::Private);
        // An S3 service would say so in its own words.
        assert_eq!(of(Form::PathStyle, &nothing), Verdict::Unknown);
    }

    #[test]
    fn whoever_says_yes_to_everything_proves_nothing() {
        let yes: Vec<_> = NAMED
            .into_iter()
            .chain(OTHERS)
            .map(|probe| (probe, http(200, Shape::Empty)))
            .collect();
        assert_eq!(of(Form::PathStyle, &yes), Verdict::Unknown);
        let page = [(Probe::GetCanary, http(200, Shape::Other))];
        assert_eq!(of(Form::Configured, &page), Verdict::Unknown);
        // Unless it gives our own bytes away too.
        let mut both = yes;
        both[0].1 = http(200, Shape::Sealed);
        assert_eq!(of(Form::PathStyle, &both), Verdict::Exposed);
    }

    #[test]
    fn a_form_that_the_store_does_not_have_counts_for_nothing() {
        let gone: Vec<_> = NAMED.map(|probe| (probe, http(404, code("NoSuchBucket")))).to_vec();
        let path = judge(Form::PathStyle, &answers(&[]));
        let host = judge(Form::VirtualHost, &answers(&gone));
        assert!(host.is_absent && host.openings.is_empty());
        assert_eq!(verdict(&[path, host.clone()], true).0, Verdict::Private);
        assert_eq!(verdict(&[host], true).0, Verdict::Unknown);
        assert_eq!(
            of(Form::PathStyle, &gone),
            Verdict::Unknown,
            "the bucket must be somewhere"
        );
    }

    #[test]
    fn a_store_that_wants_a_signature_refuses_whoever_has_none() {
        let all = |answer: fn(Probe) -> Answer| -> Vec<_> {
            let probes = NAMED.into_iter().chain(OTHERS);
            probes.map(|probe| (probe, answer(probe))).collect()
        };
        let wants = |probe: Probe| match probe.is_head() {
            true => http(400, Shape::Empty),
            false => http(400, code("UnsupportedAlgorithm")),
        };
        assert_eq!(of(Form::PathStyle, &all(wants)), Verdict::Private);
        let bad = |_| http(400, Shape::Other);
        assert_eq!(
            of(Form::PathStyle, &all(bad)),
            Verdict::Unknown,
            "a 400 of another kind says nothing"
        );
        let head = [(Probe::HeadCanary, http(400, Shape::Empty))];
        assert_eq!(
            of(Form::PathStyle, &head),
            Verdict::Unknown,
            "nothing else there wants a signature"
        );
    }

    #[test]
    fn an_account_that_is_not_believed_was_not_refused() {
        for word in NOT_BELIEVED {
            for status in [400, 403] {
                let answer = [(Probe::GetCanary, http(status, code(word)))];
                assert_eq!(of(Form::PathStyle, &answer), Verdict::Unknown, "{word}");
            }
        }
    }

    #[test]
    fn a_page_that_refuses_in_the_store_s_place_proves_nothing() {
        let page = [(Probe::GetCanary, http(403, Shape::Other))];
        assert_eq!(of(Form::PathStyle, &page), Verdict::Unknown);
        assert_eq!(of(Form::Configured, &page), Verdict::Private);
    }

    #[test]
    fn a_round_that_does_not_see_the_control_is_void_and_what_it_saw_open_is_open() {
        let private = judge(Form::PathStyle, &answers(&[]));
        assert_eq!(verdict(&[private], false).0, Verdict::Unknown);
        let open = judge(Form::PathStyle, &answers(&[(Probe::ListV2, http(200, Shape::Told))]));
        assert_eq!(verdict(&[open], false).0, Verdict::Exposed);
    }
}
