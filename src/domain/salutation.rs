//! How a letter begins: whom it greets, and how, in each of Herald's languages.
//!
//! A formal letter greets by a title and a family name, or by the whole name; never by a given name alone. Where it is not clear which
//! part of a name is which, less is said.

use serde::Serialize;

use super::language::Language;
use super::names::{
    self, bare, cased, is_cased, is_degree, is_given, is_han, is_no_person, is_particle, is_patronymic, is_shouted,
    is_title, of_family, plain, words,
};

/// The first line of a letter; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Salutation {
    pub formal: String,
    pub friendly: String,
}

/// What a name tells of whom it names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Addressee {
    gender: Option<Gender>,
    degree: Option<Degree>,
    /// Empty where it is not clear which part it is.
    family: String,
    /// As it is said: the given name first, without titles. Empty where a part of it is missing.
    whole: String,
    /// In Chinese, with the title that stands behind it: 李女士.
    titled: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gender {
    Female,
    Male,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Degree {
    Doctor,
    Professor,
}

/// Titles in lower case and without dots.
const FEMALE: [&str; 12] =
    ["ms", "mrs", "miss", "frau", "mme", "madame", "mlle", "sra", "señora", "doña", "dame", "lady"];
const MALE: [&str; 9] = ["mr", "herr", "hr", "m", "monsieur", "sr", "señor", "don", "sir"];
const DOCTORS: [&str; 3] = ["dr", "doctor", "doktor"];
const PROFESSORS: [&str; 3] = ["prof", "professor", "univ-prof"];
/// What stands behind a Chinese name.
const BEHIND: [&str; 8] = ["先生", "女士", "小姐", "太太", "博士", "教授", "老师", "经理"];
/// The longest Chinese name, in characters.
const LONGEST_HAN: usize = 4;

// === impl Salutation ===

impl Salutation {
    /// To the person of that name, as a list has it, or to the company where the name is not clear; either may be empty.
    pub fn of(language: Language, name: &str, company: &str) -> Self {
        let person = Addressee::read(name);
        let (greeting, company) = (names::greeting(name), names::told(company));
        let formal = person.formal(language).unwrap_or_else(|| match (language, company.as_str()) {
            (Language::English, "") => "Good day,".to_owned(),
            (Language::English, company) => format!("Dear {company} team,"),
            (Language::German, _) => "Sehr geehrte Damen und Herren,".to_owned(),
            (Language::French, _) => "Madame, Monsieur,".to_owned(),
            (Language::Spanish, "") => "Buenos días:".to_owned(),
            (Language::Spanish, company) => format!("Estimado equipo de {company}:"),
            (Language::Chinese, "") => "您好！".to_owned(),
            (Language::Chinese, company) => format!("尊敬的{company}负责人，您好！"),
        });
        let friendly = person.friendly(language, &greeting).unwrap_or_else(|| match (language, company.as_str()) {
            (Language::English, "") => "Hello,".to_owned(),
            (Language::English, company) => format!("Hello {company} team,"),
            (Language::German, _) => "Guten Tag,".to_owned(),
            (Language::French, _) => "Bonjour,".to_owned(),
            (Language::Spanish, "") => "Buenos días:".to_owned(),
            (Language::Spanish, company) => format!("Buenos días, equipo de {company}:"),
            (Language::Chinese, "") => "您好！".to_owned(),
            (Language::Chinese, company) => format!("{company}团队，您好！"),
        });
        Self { formal, friendly }
    }
}

// === impl Addressee ===

impl Addressee {
    fn read(name: &str) -> Self {
        let Some(name) = plain(name) else { return Self::default() };
        if name.contains(is_han) {
            return Self::chinese(&name);
        }
        if !is_cased(&name) {
            return Self::default();
        }
        // "Meier, Hans"; but "Hans Meier, PhD".
        let turned = name.split_once(',').and_then(|(family, given)| {
            let given: Vec<_> = words(given).into_iter().filter(|word| !is_title(word) && !is_degree(word)).collect();
            (!given.is_empty()).then_some((family, given))
        });
        let all = words(&name);
        let parts: Vec<_> = all.iter().copied().filter(|word| !is_title(word) && !is_degree(word)).collect();
        if is_no_person(&parts) || names::is_salutation(all.first().copied().unwrap_or_default()) {
            return Self::default();
        }
        let is_any = |titles: &[&str]| all.iter().any(|word| is_title(word) && titles.contains(&bare(word).as_str()));
        // "Smith Sr." is a senior, "Sr. Smith" a señor.
        let leads = all.first().filter(|word| is_title(word)).map(|word| bare(word)).unwrap_or_default();
        let gender = match leads.as_str() {
            title if FEMALE.contains(&title) => Some(Gender::Female),
            title if MALE.contains(&title) => Some(Gender::Male),
            _ => None,
        };
        let degree =
            if is_any(&PROFESSORS) { Some(Degree::Professor) } else { is_any(&DOCTORS).then_some(Degree::Doctor) };
        let (given, family) = match &turned {
            Some((family, given)) => {
                let family = words(family).into_iter().filter(|word| !is_title(word)).collect();
                (given.clone(), family)
            }
            None => in_order(&parts),
        };
        let is_clear = |part: &[&str]| !part.is_empty() && part.iter().all(|word| is_given(word) || is_particle(word));
        let ends_in_a_name = |part: &[&str]| is_clear(part) && part.last().is_some_and(|word| is_given(word));
        let joined = |part: &[&str]| part.iter().map(|word| of_family(word)).collect::<Vec<_>>().join(" ");
        let family = if ends_in_a_name(&family) { family } else { Vec::new() };
        let whole = match (given.as_slice(), family.as_slice()) {
            ([], _) => String::new(),
            // Nobody knows which part is which.
            (whole, []) if whole.len() > 1 && ends_in_a_name(whole) => joined(whole),
            (_, []) => String::new(),
            ([first, ..], family) if is_given(first) => {
                format!("{} {}", given.iter().map(|word| cased(word)).collect::<Vec<_>>().join(" "), joined(family))
            }
            _ => String::new(),
        };
        Self { gender, degree, family: joined(&family), whole, titled: String::new() }
    }

    fn chinese(name: &str) -> Self {
        let name: String = name.chars().filter(|c| !c.is_whitespace()).collect();
        let title = BEHIND.into_iter().find(|title| name.ends_with(title));
        let length = name.chars().count() - title.map_or(0, |title| title.chars().count());
        let is_name = (1..=LONGEST_HAN).contains(&length) && name.chars().all(is_han);
        match title {
            Some(_) if is_name => Self { titled: name, ..Self::default() },
            None if is_name && length > 1 => Self { whole: name, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// With a title where one is known, or by the whole name.
    fn formal(&self, language: Language) -> Option<String> {
        // A family name alone is none to be greeted by.
        let name = if self.family.is_empty() { &self.whole } else { &self.family };
        let has_title = !name.is_empty() && (self.gender.is_some() || self.degree.is_some());
        let titled = has_title.then(|| self.titled_line(language, name)).flatten();
        let whole = || (!self.whole.is_empty()).then(|| whole_line(language, &self.whole));
        let titled_chinese = (!self.titled.is_empty()).then(|| match language {
            Language::Chinese => format!("尊敬的{}，您好！", self.titled),
            _ => whole_line(language, &self.titled),
        });
        titled_chinese.or(titled).or_else(whole)
    }

    fn titled_line(&self, language: Language, name: &str) -> Option<String> {
        use Degree::{Doctor, Professor};
        use Gender::{Female, Male};
        Some(match (language, self.gender, self.degree) {
            (Language::English, _, Some(Professor)) => format!("Dear Professor {name},"),
            (Language::English, _, Some(Doctor)) => format!("Dear Dr {name},"),
            (Language::English, Some(Female), None) => format!("Dear Ms {name},"),
            (Language::English, Some(Male), None) => format!("Dear Mr {name},"),
            (Language::German, Some(Female), degree) => format!("Sehr geehrte Frau {}{name},", german(degree)),
            (Language::German, Some(Male), degree) => format!("Sehr geehrter Herr {}{name},", german(degree)),
            (Language::German, None, degree) => format!("Guten Tag {}{name},", german(degree)),
            (Language::French, Some(Female), _) => format!("Bonjour Madame {name},"),
            (Language::French, Some(Male), _) => format!("Bonjour Monsieur {name},"),
            (Language::Spanish, Some(Female), Some(Doctor)) => format!("Estimada Dra. {name}:"),
            (Language::Spanish, Some(Male), Some(Doctor)) => format!("Estimado Dr. {name}:"),
            (Language::Spanish, Some(Female), _) => format!("Estimada Sra. {name}:"),
            (Language::Spanish, Some(Male), _) => format!("Estimado Sr. {name}:"),
            (Language::Chinese, _, Some(Professor)) => format!("尊敬的{name}教授，您好！"),
            (Language::Chinese, _, Some(Doctor)) => format!("尊敬的{name}博士，您好！"),
            (Language::Chinese, Some(Female), None) => format!("尊敬的{name}女士，您好！"),
            (Language::Chinese, Some(Male), None) => format!("尊敬的{name}先生，您好！"),
            // Their forms have a gender, which nobody knows.
            (Language::French | Language::Spanish, None, _) | (_, None, None) => return None,
        })
    }

    /// By the name that they are called by in English and Chinese; as formal as their forms of address in the others.
    fn friendly(&self, language: Language, greeting: &str) -> Option<String> {
        match language {
            Language::English => (!greeting.is_empty()).then(|| format!("Hello {greeting},")),
            Language::Chinese if !self.titled.is_empty() => Some(format!("{}，您好！", self.titled)),
            Language::Chinese => (!greeting.is_empty()).then(|| format!("{greeting}，您好！")),
            Language::German => match (self.gender, self.family.as_str()) {
                (Some(Gender::Female), name) if !name.is_empty() => {
                    Some(format!("Guten Tag Frau {}{name},", german(self.degree)))
                }
                (Some(Gender::Male), name) if !name.is_empty() => {
                    Some(format!("Guten Tag Herr {}{name},", german(self.degree)))
                }
                _ => self.formal(language),
            },
            Language::French | Language::Spanish => self.formal(language),
        }
    }
}

/// The given and the family name of one that is written in its usual order. Where that is not clear, all of it is given, and there is
/// no family name.
fn in_order<'a>(parts: &[&'a str]) -> (Vec<&'a str>, Vec<&'a str>) {
    let split = |at: usize| (parts[..at].to_vec(), parts[at..].to_vec());
    // "DUPONT Jean": the family name is the one in capitals.
    let shouted = parts.iter().take_while(|word| is_shouted(word)).count();
    if shouted > 0 && shouted < parts.len() {
        return (parts[shouted..].to_vec(), parts[..shouted].to_vec());
    }
    let is_initial = |word: &str| word.trim_end_matches('.').chars().count() == 1;
    match parts {
        // After a title it is a family name.
        [_] => split(0),
        [family, given, patronymic] if is_patronymic(patronymic) => (vec![given, patronymic], vec![family]),
        [_, rest @ ..] => match rest.iter().position(|word| is_particle(word)) {
            Some(at) => split(at + 1),
            None if parts.len() == 2 => split(1),
            None if parts.len() == 3 && is_initial(parts[1]) => split(2),
            None => split(parts.len()),
        },
        [] => split(0),
    }
}

fn whole_line(language: Language, name: &str) -> String {
    match language {
        Language::English => format!("Dear {name},"),
        Language::German => format!("Guten Tag {name},"),
        Language::French => format!("Bonjour {name},"),
        Language::Spanish => format!("Buenos días, {name}:"),
        Language::Chinese => format!("{name}，您好！"),
    }
}

/// The degree before a name, which Germans say beside the title.
fn german(degree: Option<Degree>) -> &'static str {
    match degree {
        Some(Degree::Professor) => "Professor ",
        Some(Degree::Doctor) => "Dr. ",
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formal_letter_greets_by_title_and_family_name_or_by_the_whole_name() {
        for (name, english) in [
            ("Ms Claire Moreau", "Dear Ms Moreau,"),
            ("Mrs. Moreau", "Dear Ms Moreau,"),
            ("Mr J. Smith", "Dear Mr Smith,"),
            ("Moreau, Claire", "Dear Claire Moreau,"),
            ("MEIER, Hans", "Dear Hans Meier,"),
            ("DUPONT Jean", "Dear Jean Dupont,"),
            ("Prof. Dr. h.c. Anna von der Heide", "Dear Professor von der Heide,"),
            ("Herr Dr. Jörg Müller", "Dear Dr Müller,"),
            ("Dr. Okafor", "Dear Dr Okafor,"),
            ("JOHN SMITH", "Dear John Smith,"),
            ("O'NEIL, SEAN", "Dear Sean O'Neil,"),
            ("Hans Meier, PhD", "Dear Hans Meier,"),
            ("Ms María García López", "Dear Ms María García López,"),
            ("Anna K. Berg", "Dear Anna K. Berg,"),
            ("Sr. Juan Pérez", "Dear Mr Pérez,"),
            ("Juan Pérez Sr.", "Dear Juan Pérez,"),
            ("Jan van Dijk", "Dear Jan van Dijk,"),
            ("Иванов Иван Иванович", "Dear Иван Иванович Иванов,"),
            ("李雷", "Dear 李雷,"),
            // A given name alone, half of a name, or nobody's.
            ("Claire", "Dear Acme team,"),
            ("J. Smith", "Dear Acme team,"),
            ("van Dijk", "Dear Acme team,"),
            ("MEIER", "Dear Acme team,"),
            ("Sales Team", "Dear Acme team,"),
            ("Anna & Bert Meier", "Dear Acme team,"),
            ("Dear Sir or Madam", "Dear Acme team,"),
            ("{{first_name}}", "Dear Acme team,"),
            ("محمد علي", "Dear Acme team,"),
            ("", "Dear Acme team,"),
        ] {
            assert_eq!(Salutation::of(Language::English, name, "Acme").formal, english, "{name}");
        }
    }

    #[test]
    fn each_language_has_forms_of_its_own() {
        use Language::{Chinese, English, French, German, Spanish};
        for (language, name, company, formal, friendly) in [
            (
                German,
                "Frau Prof. Dr. Anna Berg",
                "",
                "Sehr geehrte Frau Professor Berg,",
                "Guten Tag Frau Professor Berg,",
            ),
            (German, "Herr Meier", "", "Sehr geehrter Herr Meier,", "Guten Tag Herr Meier,"),
            (German, "Dr. Anna Berg", "", "Guten Tag Dr. Berg,", "Guten Tag Dr. Berg,"),
            (German, "Anna Berg", "", "Guten Tag Anna Berg,", "Guten Tag Anna Berg,"),
            (German, "Anna", "Acme", "Sehr geehrte Damen und Herren,", "Guten Tag,"),
            (French, "Mme Claire Moreau", "", "Bonjour Madame Moreau,", "Bonjour Madame Moreau,"),
            (French, "M. Dupont", "", "Bonjour Monsieur Dupont,", "Bonjour Monsieur Dupont,"),
            (French, "Dr. Claire Moreau", "", "Bonjour Claire Moreau,", "Bonjour Claire Moreau,"),
            (French, "", "Acme", "Madame, Monsieur,", "Bonjour,"),
            (Spanish, "Sra. Ana Ruiz", "", "Estimada Sra. Ruiz:", "Estimada Sra. Ruiz:"),
            (Spanish, "Ana Ruiz", "", "Buenos días, Ana Ruiz:", "Buenos días, Ana Ruiz:"),
            (Spanish, "", "Acme", "Estimado equipo de Acme:", "Buenos días, equipo de Acme:"),
            (Chinese, "李女士", "", "尊敬的李女士，您好！", "李女士，您好！"),
            (Chinese, "李雷", "", "李雷，您好！", "李雷，您好！"),
            (Chinese, "Ms Claire Moreau", "", "尊敬的Moreau女士，您好！", "Claire，您好！"),
            (Chinese, "", "例子农业", "尊敬的例子农业负责人，您好！", "例子农业团队，您好！"),
            (English, "Ms Claire Moreau", "", "Dear Ms Moreau,", "Hello Claire,"),
            (English, "", "", "Good day,", "Hello,"),
        ] {
            let salutation = Salutation::of(language, name, company);
            let right = Salutation { formal: formal.to_owned(), friendly: friendly.to_owned() };
            assert_eq!(salutation, right, "{language:?} {name}");
        }
    }
}
