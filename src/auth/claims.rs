//! What a token says, and whether that is enough.
//!
//! A claim that is there must be what its name says, whether or not anything asks for it: one of the wrong type, with null, or
//! empty is refused rather than ignored. An ignored `aud` is a token for somebody else; an ignored `org_id` makes a member
//! of an organisation the owner of a tenant.

use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::refusals::Cause;
use crate::config;
use crate::domain::clock::Timestamp;
use crate::domain::number::saturating_i64;
use crate::tenant::Role;

/// What a token must say, and what its claims mean.
pub(super) struct Rules {
    issuer: String,
    audience: String,
    authorized_parties: Vec<String>,
    leeway_seconds: u64,
    role_claim: String,
    admin_roles: Vec<String>,
    editor_roles: Vec<String>,
}

/// What a credential proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub tenant: String,
    pub subject: String,
    pub role: Role,
    pub expiry: Option<Timestamp>,
}

/// The claims by their names; one that is there twice is refused by serde. `Some(Null)` is there.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: String,
    #[serde(default, deserialize_with = "there")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "there")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "there")]
    iat: Option<Value>,
    #[serde(default, deserialize_with = "there")]
    iss: Option<Value>,
    #[serde(default, deserialize_with = "there")]
    aud: Option<Value>,
    #[serde(default, deserialize_with = "there")]
    azp: Option<Value>,
    /// Clerk: `pending` until a session's tasks are done.
    #[serde(default, deserialize_with = "there")]
    sts: Option<Value>,
    /// Null is as if it were not there, here and in `org_role`: issuers whose templates fill in the organisation, such as
    /// Clerk, write null for somebody who has none.
    org_id: Option<String>,
    org_role: Option<String>,
    #[serde(default, deserialize_with = "there")]
    o: Option<Organisation>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The claim `o` of Clerk's second version.
#[derive(Deserialize)]
struct Organisation {
    id: String,
    #[serde(default, deserialize_with = "there")]
    rol: Option<String>,
}

/// The last second of the year 9999. What is later was not meant in seconds.
const END_OF_TIME: f64 = 253_402_300_799.0;

// === impl Rules ===

impl Rules {
    pub(super) fn new(settings: &config::Auth) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            authorized_parties: settings.authorized_parties.clone(),
            leeway_seconds: settings.leeway_seconds,
            role_claim: settings.role_claim.clone(),
            admin_roles: settings.admin_roles.clone(),
            editor_roles: settings.editor_roles.clone(),
        }
    }

    /// What jsonwebtoken is asked for: the signature, by this algorithm. The claims are judged here, where each has its cause.
    pub(super) fn signature_alone(algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims::<&str>(&[]);
        validation
    }

    /// What the claims of a token with a right signature prove.
    pub(super) fn judge(&self, claims: Claims, now: Timestamp) -> Result<Verified, Cause> {
        self.judge_who_and_for_whom(&claims)?;
        let expiry = claims.exp.as_ref().and_then(|exp| seconds(exp, f64::floor)).ok_or(Cause::Claims)?;
        let begin = claims.nbf.as_ref().map(|nbf| seconds(nbf, f64::ceil).ok_or(Cause::Claims)).transpose()?;
        if claims.iat.as_ref().is_some_and(|iat| seconds(iat, f64::floor).is_none()) {
            return Err(Cause::Claims);
        }
        if now >= self.end(expiry) {
            return Err(Cause::Expired);
        }
        if begin.is_some_and(|begin| now < begin.plus_seconds(-self.leeway())) {
            return Err(Cause::NotYet);
        }
        let role = self.role(&claims);
        let organisation = claims.o.map(|o| o.id).or(claims.org_id);
        if claims.sub.is_empty() || organisation.as_deref().is_some_and(str::is_empty) {
            return Err(Cause::Claims);
        }
        let tenant = organisation.unwrap_or_else(|| claims.sub.clone());
        Ok(Verified { tenant, subject: claims.sub, role, expiry: Some(expiry) })
    }

    /// The claims that name the parties. Those that are not configured may be missing, and nothing else.
    fn judge_who_and_for_whom(&self, claims: &Claims) -> Result<(), Cause> {
        let text = |claim: &Value| claim.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let is_right = |claim: &Option<Value>, rule: &dyn Fn(Option<String>) -> bool| match claim {
            None => rule(None),
            Some(claim) => text(claim).is_some_and(|text| rule(Some(text))),
        };
        let issuer = |found: Option<String>| self.issuer.is_empty() || found.as_ref() == Some(&self.issuer);
        let parties = &self.authorized_parties;
        let party = |found: Option<String>| parties.is_empty() || found.is_some_and(|party| parties.contains(&party));
        if !is_right(&claims.iss, &issuer) {
            return Err(Cause::Issuer);
        }
        if !self.is_for_us(claims.aud.as_ref()) {
            return Err(Cause::Audience);
        }
        if !is_right(&claims.azp, &party) {
            return Err(Cause::Party);
        }
        match claims.sts.as_ref().map(text) {
            None => Ok(()),
            Some(None) => Err(Cause::Claims),
            Some(Some(status)) if status == "pending" => Err(Cause::Pending),
            Some(Some(_)) => Ok(()),
        }
    }

    /// Whoever does not find himself in an `aud` that is there must refuse the token (RFC 7519, 4.1.3).
    fn is_for_us(&self, aud: Option<&Value>) -> bool {
        match aud {
            None => self.audience.is_empty(),
            Some(_) if self.audience.is_empty() => false,
            Some(Value::String(one)) => *one == self.audience,
            Some(Value::Array(many)) => {
                many.iter().all(Value::is_string) && many.iter().any(|one| one.as_str() == Some(&self.audience))
            }
            Some(_) => false,
        }
    }

    /// The owner of a personal tenant is admin, a member of an organisation what its role says, viewer if nothing does. A
    /// role that we do not know is no reason to give more than the least.
    fn role(&self, claims: &Claims) -> Role {
        let mut at = claims.others.get(self.role_claim.split('.').next().unwrap_or_default());
        for name in self.role_claim.split('.').skip(1) {
            at = at.and_then(|value| value.get(name));
        }
        let organisation = claims.o.as_ref().and_then(|o| o.rol.as_deref()).or(claims.org_role.as_deref());
        let is_personal = claims.o.is_none() && claims.org_id.is_none();
        match at.map(|value| value.as_str().unwrap_or_default()).or(organisation) {
            Some(name) if self.admin_roles.iter().any(|role| role == name) => Role::Admin,
            Some(name) if self.editor_roles.iter().any(|role| role == name) => Role::Editor,
            Some(_) => Role::Viewer,
            None if is_personal => Role::Admin,
            None => Role::Viewer,
        }
    }

    /// When a token with this `exp` is no longer taken.
    pub(super) fn end(&self, expiry: Timestamp) -> Timestamp {
        expiry.plus_seconds(self.leeway())
    }

    fn leeway(&self) -> i64 {
        saturating_i64(self.leeway_seconds)
    }
}

/// The claim as it is there, null included: `Option` alone takes null for nothing.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A NumericDate (RFC 7519, 2): seconds since 1970, fractions allowed. To the whole second, in the direction in which the
/// token is valid for a shorter time.
fn seconds(claim: &Value, whole: fn(f64) -> f64) -> Option<Timestamp> {
    let number = claim.as_f64().filter(|number| (0.0..=END_OF_TIME).contains(number))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and below END_OF_TIME")]
    let seconds = whole(number) as i64;
    Some(Timestamp(0).plus_seconds(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_780_000_000;

    fn judge(change: impl FnOnce(&mut config::Auth), claims: &Value, micros: i64) -> Result<Verified, Cause> {
        let mut settings = config::Auth { leeway_seconds: 0, ..config::Auth::default() };
        change(&mut settings);
        let claims = serde_json::from_value(claims.clone()).map_err(|_| Cause::Claims)?;
        Rules::new(&settings).judge(claims, Timestamp(NOW * 1_000_000 + micros))
    }

    #[test]
    fn a_token_ends_at_the_whole_second_and_begins_at_the_next() {
        let exp = |exp: f64, micros| judge(|_| (), &json!({ "sub": "a", "exp": exp }), micros).map(|v| v.expiry);
        let (end, ends) = (NOW as f64 + 1.75, Ok(Some(Timestamp((NOW + 1) * 1_000_000))));
        assert_eq!((exp(end, 0), exp(end, 999_999)), (ends, ends));
        assert_eq!((exp(end, 1_000_000), exp(end, 1_700_000)), (Err(Cause::Expired), Err(Cause::Expired)));
        let nbf = |micros| judge(|_| (), &json!({ "sub": "a", "exp": NOW + 9, "nbf": NOW as f64 + 1.25 }), micros);
        assert_eq!((nbf(1_300_000), nbf(1_999_999)), (Err(Cause::NotYet), Err(Cause::NotYet)));
        assert!(nbf(2_000_000).is_ok());
        let leeway = |micros| judge(|s| s.leeway_seconds = 5, &json!({ "sub": "a", "exp": NOW }), micros);
        assert!(leeway(4_999_999).is_ok() && leeway(5_000_000) == Err(Cause::Expired));
        let leeway = |micros| judge(|s| s.leeway_seconds = u64::MAX, &json!({ "sub": "a", "exp": NOW }), micros);
        assert!(leeway(4_999_999).is_ok());
    }

    #[test]
    fn times_that_are_none_are_refused_and_the_last_second_is_taken() {
        for wrong in
            [json!(-1), json!(1e300), json!(253_402_300_800_i64), json!("1"), json!(null), json!([1]), json!(true)]
        {
            for name in ["exp", "nbf", "iat"] {
                let mut claims = json!({ "sub": "a", "exp": NOW + 9 });
                claims[name] = wrong.clone();
                assert_eq!(judge(|_| (), &claims, 0), Err(Cause::Claims), "{claims}");
            }
        }
        judge(|_| (), &json!({ "sub": "a", "exp": 253_402_300_799_i64, "iat": 1.5, "nbf": 0 }), 0).expect("valid");
        assert_eq!(judge(|_| (), &json!({ "sub": "a" }), 0), Err(Cause::Claims));
    }

    #[test]
    fn each_refusal_has_its_cause() {
        let strict = |settings: &mut config::Auth| {
            settings.issuer = "i".into();
            settings.audience = "a".into();
            settings.authorized_parties = vec!["p".into()];
        };
        let good = json!({ "sub": "s", "exp": NOW + 9, "iss": "i", "aud": ["x", "a"], "azp": "p", "sts": "active" });
        judge(strict, &good, 0).expect("valid");
        for (name, wrong, cause) in [
            ("iss", json!("x"), Cause::Issuer),
            ("iss", json!(["i"]), Cause::Issuer),
            ("aud", json!("x"), Cause::Audience),
            ("aud", json!(["a", 1]), Cause::Audience),
            ("azp", json!("x"), Cause::Party),
            ("azp", json!(["p"]), Cause::Party),
            ("sts", json!("pending"), Cause::Pending),
            ("sts", json!(1), Cause::Claims),
            ("sub", json!(""), Cause::Claims),
            ("sub", json!(null), Cause::Claims),
            ("org_id", json!(""), Cause::Claims),
            ("org_id", json!(1), Cause::Claims),
            ("o", json!(null), Cause::Claims),
            ("o", json!({ "id": "o", "rol": null }), Cause::Claims),
            ("exp", json!(NOW), Cause::Expired),
            ("nbf", json!(NOW + 1), Cause::NotYet),
        ] {
            let mut claims = good.clone();
            claims[name] = wrong;
            assert_eq!(judge(strict, &claims, 0), Err(cause), "{claims}");
        }
        for (name, cause) in [("iss", Cause::Issuer), ("aud", Cause::Audience), ("azp", Cause::Party)] {
            let mut claims = good.clone();
            claims.as_object_mut().expect("an object").remove(name);
            assert_eq!(judge(strict, &claims, 0), Err(cause), "{claims}");
        }
    }
}
