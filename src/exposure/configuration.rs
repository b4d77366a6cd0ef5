//! What a bucket's configuration says of who may get in, read with the vault's own key: a bucket that is still private may be
//! one step from being open. Pure, but for [`ALL`]'s questions, so that every answer can be tested.

use serde_json::Value;

use crate::model::Grade;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    PublicAccessBlock,
    Policy,
    PolicyStatus,
    Acl,
    Ownership,
    Website,
    Replication,
    Versioning,
    Lifecycle,
}

/// Every setting, in the order in which it is told.
pub(super) const ALL: [Setting; 9] = [
    Setting::PublicAccessBlock,
    Setting::Policy,
    Setting::PolicyStatus,
    Setting::Acl,
    Setting::Ownership,
    Setting::Website,
    Setting::Replication,
    Setting::Versioning,
    Setting::Lifecycle,
];

/// A row is no place for a document.
const MOST_STATE: usize = 240;
const BLOCKS: [&str; 4] = [
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
];

/// What a setting is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub grade: Grade,
    /// The same words as long as it is the same.
    pub state: String,
}

impl Setting {
    /// The word in a row.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::PublicAccessBlock => "public-access-block",
            Self::Policy => "policy",
            Self::PolicyStatus => "policy-status",
            Self::Acl => "acl",
            Self::Ownership => "ownership",
            Self::Website => "website",
            Self::Replication => "replication",
            Self::Versioning => "versioning",
            Self::Lifecycle => "lifecycle",
        }
    }

    /// The question of S3's API.
    pub(super) const fn query(self) -> &'static str {
        match self {
            Self::PublicAccessBlock => "/?publicAccessBlock=",
            Self::Policy => "/?policy=",
            Self::PolicyStatus => "/?policyStatus=",
            Self::Acl => "/?acl=",
            Self::Ownership => "/?ownershipControls=",
            Self::Website => "/?website=",
            Self::Replication => "/?replication=",
            Self::Versioning => "/?versioning=",
            Self::Lifecycle => "/?lifecycle=",
        }
    }

    /// What S3 says where there is none.
    const fn is_none(self) -> &'static [&'static str] {
        match self {
            Self::PublicAccessBlock => &["NoSuchPublicAccessBlockConfiguration"],
            Self::Policy | Self::PolicyStatus => &["NoSuchBucketPolicy"],
            Self::Ownership => &["OwnershipControlsNotFoundError", "OwnershipControlsNotFound"],
            Self::Website => &["NoSuchWebsiteConfiguration"],
            Self::Replication => &["ReplicationConfigurationNotFoundError"],
            Self::Lifecycle => &["NoSuchLifecycleConfiguration"],
            Self::Acl | Self::Versioning => &[],
        }
    }

    /// What an answer says; none for one that says nothing now and may tomorrow.
    pub(super) fn read(self, status: u16, body: &str) -> Option<Read> {
        let code = within(body, "Code").next().unwrap_or_default();
        let mut read = match status {
            200..=299 => self.told(body),
            404 if self.is_none().contains(&code) => self.none(),
            401 | 403 => cannot("the vault's key may not read it"),
            400..=499 | 501 if status != 429 && status != 408 => cannot("the store does not tell it"),
            _ => return None,
        };
        if read.state.len() > MOST_STATE {
            let end = (0..=MOST_STATE).rev().find(|at| read.state.is_char_boundary(*at));
            read.state.truncate(end.unwrap_or(0));
        }
        Some(read)
    }

    fn none(self) -> Read {
        match self {
            Self::PublicAccessBlock => finding("none: one policy or access list can open the bucket"),
            Self::Ownership => finding("none: an object's own access list counts"),
            _ => fine("none"),
        }
    }

    fn told(self, body: &str) -> Read {
        match self {
            Self::PublicAccessBlock => {
                let is_on = |name: &&str| {
                    within(body, name)
                        .next()
                        .is_some_and(|on| on.eq_ignore_ascii_case("true"))
                };
                let off: Vec<_> = BLOCKS.into_iter().filter(|name| !is_on(name)).collect();
                match off.is_empty() {
                    true => fine("all four on"),
                    false => finding(format!("off: {}", off.join(", "))),
                }
            }
            Self::Policy => policy(body),
            Self::PolicyStatus => match within(body, "IsPublic").next() {
                Some(word) if word.eq_ignore_ascii_case("false") => fine("not public"),
                Some(_) => finding("public"),
                None => cannot("the store does not tell it"),
            },
            Self::Acl => acl(body),
            Self::Ownership => match within(body, "ObjectOwnership").next() {
                Some("BucketOwnerEnforced") => fine("BucketOwnerEnforced"),
                Some(other) => finding(format!("{other}: an object's own access list counts")),
                None => self.none(),
            },
            Self::Website => finding(format!("a website ({})", mark(body))),
            Self::Replication => {
                let to: Vec<_> = within(body, "Bucket").collect();
                finding(format!("copies go to {}: have them watched too", to.join(", ")))
            }
            Self::Versioning => match within(body, "Status").next() {
                None | Some("") => fine("off"),
                Some(word) => finding(format!("{word}: what is erased stays as an older version")),
            },
            Self::Lifecycle => lifecycle(body),
        }
    }
}

fn policy(body: &str) -> Read {
    let Ok(document) = serde_json::from_str::<Value>(body) else {
        return finding(format!("no policy that can be read ({})", mark(body)));
    };
    let statements = list(&document["Statement"]);
    let is_for_all = |one: &&&Value| {
        let principal = &one["Principal"];
        let mut named = [principal, &principal["AWS"]].into_iter().flat_map(list);
        // Who is not named may, too.
        let is_negated = one.get("NotPrincipal").is_some();
        one["Effect"] == "Allow" && (is_negated || named.any(|who| who == "*"))
    };
    let (for_all, total) = (statements.iter().filter(is_for_all), statements.len());
    let allowed: Vec<_> = for_all
        .flat_map(|one| {
            let named = list(&one["Action"]).into_iter().filter_map(Value::as_str);
            let mut actions: Vec<_> = named.collect();
            if actions.is_empty() {
                actions.push("do what is not named");
            }
            let condition = if one.get("Condition").is_some() {
                " on a condition"
            } else {
                ""
            };
            actions.into_iter().map(move |action| format!("{action}{condition}"))
        })
        .collect();
    match allowed.is_empty() {
        true => fine(format!("{total} statements, none for everybody ({})", mark(body))),
        false => finding(format!("everybody may {} ({})", allowed.join(", "), mark(body))),
    }
}

fn acl(body: &str) -> Read {
    let grants = within(body, "Grant");
    let (mut total, mut wide) = (0, Vec::new());
    for grant in grants {
        total += 1;
        let whom = match within(grant, "URI").next() {
            Some(uri) if uri.ends_with("/AllUsers") => "everybody",
            Some(uri) if uri.ends_with("/AuthenticatedUsers") => "any account",
            _ => continue,
        };
        let what = within(grant, "Permission").next().unwrap_or("something");
        wide.push(format!("{what} to {whom}"));
    }
    match wide.is_empty() {
        true => fine(format!("{total} grants, none to everybody ({})", mark(body))),
        false => finding(wide.join(", ")),
    }
}

fn lifecycle(body: &str) -> Read {
    let has = |name: &str| within(body, name).next().is_some();
    let mark = mark(body);
    match () {
        () if has("Expiration") => finding(format!("a rule removes objects, footage too ({mark})")),
        () if has("Transition") => finding(format!("a rule moves objects to another class ({mark})")),
        () => fine(format!("no rule removes or moves objects ({mark})")),
    }
}

/// A value, or each of several.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// What stands between each pair of an element's tags; S3 nests none in itself.
fn within<'a>(body: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = body;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(&open)? + open.len();
            let after = &rest[at..];
            rest = after;
            // Another name may begin so.
            if !after.starts_with(['>', ' ']) {
                continue;
            }
            let inner = &after[after.find('>')? + 1..];
            let end = inner.find(&close)?;
            rest = &inner[end..];
            return Some(inner[..end].trim());
        }
    })
}

/// Tells one document from another; it is no proof against who makes two of one mark.
fn mark(body: &str) -> String {
    format!("{:08x}", crc32c::crc32c(body.as_bytes()))
}

fn fine(state: impl Into<String>) -> Read {
    let (grade, state) = (Grade::Fine, state.into());
    Read { grade, state }
}

fn finding(state: impl Into<String>) -> Read {
    let (grade, state) = (Grade::Finding, state.into());
    Read { grade, state }
}

fn cannot(state: &str) -> Read {
    let (grade, state) = (Grade::NotCheckable, state.to_owned());
    Read { grade, state }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(setting: Setting, status: u16, body: &str) -> (Grade, String) {
        let read = setting.read(status, body).expect("an answer that says something");
        (read.grade, read.state)
    }

    #[test]
    fn what_is_not_there_is_told_from_what_the_store_cannot_tell() {
        for setting in ALL {
            for (status, code) in [
                (501, "NotImplemented"),
                (403, "AccessDenied"),
                (405, "MethodNotAllowed"),
            ] {
                let body = format!("<Error><Code>{code}</Code></Error>");
                assert_eq!(
                    read(setting, status, &body).0,
                    Grade::NotCheckable,
                    "{setting:?} {code}"
                );
            }
            assert_eq!(setting.read(500, ""), None);
            assert_eq!(setting.read(429, ""), None);
            for code in setting.is_none() {
                let body = format!("<Error><Code>{code}</Code></Error>");
                let grade = read(setting, 404, &body).0;
                let expected = match setting {
                    Setting::PublicAccessBlock | Setting::Ownership => Grade::Finding,
                    _ => Grade::Fine,
                };
                assert_eq!(grade, expected, "{setting:?}");
            }
            let gone = read(setting, 404, "<Error><Code>NoSuchBucket</Code></Error>");
            assert_eq!(gone.0, Grade::NotCheckable, "{setting:?}");
        }
    }

    #[test]
    fn a_block_is_fine_only_if_all_four_are_on() {
        let body = |on: usize| {
            let flags = BLOCKS.iter().enumerate();
            flags
                .map(|(at, name)| format!("<{name}>{}</{name}>", at != on))
                .collect::<String>()
        };
        assert_eq!(read(Setting::PublicAccessBlock, 200, &body(9)).0, Grade::Fine);
        for (at, name) in BLOCKS.iter().enumerate() {
            let (grade, state) = read(Setting::PublicAccessBlock, 200, &body(at));
            assert_eq!((grade, state), (Grade::Finding, format!("off: {name}")));
        }
    }

    #[test]
    fn a_policy_for_everybody_is_found_in_every_spelling() {
        let of = |principal: &str, effect: &str| {
            format!(r#"{{"Statement":[{{"Effect":"{effect}",{principal},"Action":["s3:GetObject"],"Resource":"*"}}]}}"#)
        };
        for principal in [
            r#""Principal":"*""#,
            r#""Principal":{"AWS":"*"}"#,
            r#""Principal":{"AWS":["arn:aws:iam::1:root","*"]}"#,
            r#""NotPrincipal":{"AWS":"arn:aws:iam::1:root"}"#,
        ] {
            let (grade, state) = read(Setting::Policy, 200, &of(principal, "Allow"));
            assert_eq!(grade, Grade::Finding, "{principal}");
            assert!(state.starts_with("everybody may s3:GetObject"), "{state}");
        }
        let one = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:*"}}"#;
        assert_eq!(
            read(Setting::Policy, 200, one).0,
            Grade::Finding,
            "one statement without a list"
        );
        let but = r#"{"Statement":{"Effect":"Allow","Principal":"*","NotAction":"s3:DeleteObject"}}"#;
        assert_eq!(
            read(Setting::Policy, 200, but).0,
            Grade::Finding,
            "everything but one thing"
        );
        let shut = of(r#""Principal":"*""#, "Deny");
        assert_eq!(read(Setting::Policy, 200, &shut).0, Grade::Fine);
        let named = of(r#""Principal":{"AWS":"arn:aws:iam::1:root"}"#, "Allow");
        assert_eq!(read(Setting::Policy, 200, &named).0, Grade::Fine);
        assert_ne!(
            read(Setting::Policy, 200, &named).1,
            read(Setting::Policy, 200, &named.replace("::1:", "::2:")).1,
            "another policy is another state"
        );
        assert_eq!(read(Setting::Policy, 200, "<html>").0, Grade::Finding);
    }

    #[test]
    fn grants_to_groups_of_everybody_are_told_by_what_they_give() {
        let grant = |who: &str| format!("<Grant><Grantee x=\"y\">{who}</Grantee><Permission>READ</Permission></Grant>");
        let (owner, all, any) = (
            grant("<ID>1</ID>"),
            grant("<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>"),
            grant("<URI>http://acs.amazonaws.com/groups/global/AuthenticatedUsers</URI>"),
        );
        assert_eq!(read(Setting::Acl, 200, &owner).0, Grade::Fine);
        assert_eq!(
            read(Setting::Acl, 200, &format!("{owner}{all}{any}")),
            (Grade::Finding, "READ to everybody, READ to any account".to_owned())
        );
    }

    #[test]
    fn the_rest_is_read_as_it_is_written() {
        let grade = |setting: Setting, body: &str| read(setting, 200, body).0;
        for (setting, body, expected) in [
            (Setting::PolicyStatus, "<IsPublic>true</IsPublic>", Grade::Finding),
            (Setting::PolicyStatus, "<IsPublic>FALSE</IsPublic>", Grade::Fine),
            (Setting::PolicyStatus, "", Grade::NotCheckable),
            (
                Setting::Ownership,
                "<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>",
                Grade::Fine,
            ),
            (
                Setting::Ownership,
                "<ObjectOwnership>ObjectWriter</ObjectOwnership>",
                Grade::Finding,
            ),
            (Setting::Website, "<WebsiteConfiguration/>", Grade::Finding),
            (
                Setting::Replication,
                "<Bucket>arn:aws:s3:::copy</Bucket>",
                Grade::Finding,
            ),
            (Setting::Versioning, "<VersioningConfiguration/>", Grade::Fine),
            (Setting::Versioning, "<Status>Enabled</Status>", Grade::Finding),
            (Setting::Versioning, "<Status>Suspended</Status>", Grade::Finding),
            (
                Setting::Lifecycle,
                "<Rule><Expiration><Days>1</Days></Expiration></Rule>",
                Grade::Finding,
            ),
            (
                Setting::Lifecycle,
                "<Rule><Transition></Transition></Rule>",
                Grade::Finding,
            ),
            (
                Setting::Lifecycle,
                "<Rule><AbortIncompleteMultipartUpload></AbortIncompleteMultipartUpload></Rule>",
                Grade::Fine,
            ),
        ] {
            assert_eq!(grade(setting, body), expected, "{setting:?} {body}");
        }
        let copies = read(Setting::Replication, 200, "<Bucket>arn:aws:s3:::copy</Bucket>").1;
        assert!(copies.contains("arn:aws:s3:::copy"));
    }
}
