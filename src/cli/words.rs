//! One word for each value of the API's enums: what flags take, what is printed, and what CSV holds.
//!
//! The word follows from the API's name: `EMAIL_STATUS_AWAITING_APPROVAL` is `awaiting-approval`. It has no blanks, so that what
//! was read in a table can be typed after a flag as it is. JSON alone has the API's own names.

use std::sync::LazyLock;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use prost_reflect::EnumDescriptor;

use crate::pb;

/// A value of an enum of the API.
pub(super) trait Word: Copy + Default + TryFrom<i32> {
    /// As the protos have it.
    fn api_name(self) -> &'static str;

    fn word(self) -> String {
        word_of(self.api_name(), Self::default().api_name())
    }
}

macro_rules! spelled {
    ($($kind:ident)*) => {
        $(
            impl Word for pb::$kind {
                fn api_name(self) -> &'static str {
                    self.as_str_name()
                }
            }

            impl ValueEnum for pb::$kind {
                fn value_variants<'a>() -> &'a [Self] {
                    static STATED: LazyLock<Vec<pb::$kind>> = LazyLock::new(stated);
                    &STATED
                }

                fn to_possible_value(&self) -> Option<PossibleValue> {
                    Some(PossibleValue::new(self.word()))
                }
            }
        )*

        /// The enums that the command line prints or takes.
        #[cfg(test)]
        const SPELLED: &[&str] = &[$(stringify!($kind)),*];
    };
}

spelled! {
    CampaignAction CampaignGoal CampaignState DayOfWeek EmailStatus Engagement LeftOutReason MailboxKind MailboxState
    OAuthProvider Proof ProspectStatus SmtpSecurity StepId StepStatus SuppressionReason
}

/// The values but for the first, which states nothing.
fn stated<E: Word>() -> Vec<E> {
    (1..).map_while(|number| E::try_from(number).ok()).collect()
}

/// The words of an enum that is known by its descriptor alone.
pub(super) fn words(kind: &EnumDescriptor) -> impl Iterator<Item = (String, String)> {
    let values: Vec<_> = kind.values().map(|value| value.name().to_owned()).collect();
    let first = kind.default_value().name().to_owned();
    values.into_iter().skip(1).map(move |name| (word_of(&name, &first), name))
}

/// The word of the value with that name; `first` is the name of the enum's first value, `…_UNSPECIFIED`.
pub(super) fn word_of(name: &str, first: &str) -> String {
    let prefix = first.strip_suffix("UNSPECIFIED").unwrap_or_default();
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_value_has_one_word_and_flags_take_it() {
        let all = |kind: &str| pb::enum_descriptor(&format!("herald.v1.{kind}")).expect("an enum of ours");
        for kind in SPELLED {
            let kind = all(kind);
            let words: Vec<_> = words(&kind).collect();
            let different: BTreeSet<_> = words.iter().map(|(word, _)| word).collect();
            assert_eq!(different.len(), words.len(), "{words:?}");
            for (word, name) in &words {
                assert!(word.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}: {word}");
            }
        }
        fn holds<E: ValueEnum + Word + PartialEq + std::fmt::Debug>(kind: &EnumDescriptor) {
            let taken: Vec<_> = E::value_variants().iter().map(|value| (value.word(), value.api_name())).collect();
            let known: Vec<_> = words(kind).collect();
            assert_eq!(taken.len(), known.len(), "{}: its numbers have no gap", kind.name());
            for (word, name) in taken {
                assert!(known.contains(&(word.clone(), name.to_owned())), "{name}");
                let value = E::from_str(&word, false).expect("a flag takes what is printed");
                assert_eq!(value.api_name(), name);
            }
        }
        holds::<pb::CampaignAction>(&all("CampaignAction"));
        holds::<pb::CampaignGoal>(&all("CampaignGoal"));
        holds::<pb::CampaignState>(&all("CampaignState"));
        holds::<pb::DayOfWeek>(&all("DayOfWeek"));
        holds::<pb::EmailStatus>(&all("EmailStatus"));
        holds::<pb::Engagement>(&all("Engagement"));
        holds::<pb::LeftOutReason>(&all("LeftOutReason"));
        holds::<pb::MailboxKind>(&all("MailboxKind"));
        holds::<pb::MailboxState>(&all("MailboxState"));
        holds::<pb::OAuthProvider>(&all("OAuthProvider"));
        holds::<pb::Proof>(&all("Proof"));
        holds::<pb::ProspectStatus>(&all("ProspectStatus"));
        holds::<pb::SmtpSecurity>(&all("SmtpSecurity"));
        holds::<pb::StepId>(&all("StepId"));
        holds::<pb::StepStatus>(&all("StepStatus"));
        holds::<pb::SuppressionReason>(&all("SuppressionReason"));
        assert_eq!(SPELLED.len(), 16, "each is held");
    }

    #[test]
    fn a_word_is_the_name_without_its_enum() {
        assert_eq!(pb::EmailStatus::AwaitingApproval.word(), "awaiting-approval");
        assert_eq!(pb::StepId::WebsiteAnalysis.word(), "website-analysis");
        assert_eq!(pb::Engagement::NotInterested.word(), "not-interested");
    }
}
