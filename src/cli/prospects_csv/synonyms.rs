//! What others call the columns: HubSpot, Salesforce, Apollo, Lemlist, Mailchimp, Outlook and Google Contacts in what they
//! export, and people in English, German and Chinese.
//!
//! A name is compared by its letters and digits alone, in lower case and Unicode's NFKC: `E-Mail-Adresse`, `e_mail adresse` and
//! `ＥＭａｉｌＡｄｒｅｓｓｅ` are one. What is not here has no place: second addresses, private ones, profiles in networks.

use super::fields::COLUMNS;
use super::letters::letters;

/// What a column is of its field. The order is that in which the parts of a place are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Whole,
    /// The whole, where no other column has it: `Title` is a position, unless there is a `Job Title` too.
    Stopgap,
    Given,
    Middle,
    Family,
    City,
    Region,
    Country,
}

/// A field, and what a column is of it.
pub(super) type Place = (&'static str, Part);

type Synonyms = (&'static str, Part, &'static str);

/// Names are separated by blanks; they have none themselves.
const SYNONYMS: &[Synonyms] = &[
    (
        "email",
        Part::Whole,
        "mail mails emails emailaddress emailaddresses mailaddress emailid workemail businessemail primaryemail \
         contactemail companyemail email1 email1value email1address emailadresse emailadressen mailadresse \
         emailgeschäftlich geschäftlicheemail 邮箱 邮箱地址 电子邮箱 电子邮件 电子邮件地址 邮件 邮件地址 电邮 \
         工作邮箱 郵箱 電子郵箱 電子郵件 電子郵件地址 電郵",
    ),
    (
        "company",
        Part::Whole,
        "companyname organisation organization organisationname organizationname organization1name account \
         accountname companyaccount employer business businessname firm firma firmenname unternehmen \
         unternehmensname betrieb 公司 公司名 公司名称 企业 企业名称 单位 单位名称 组织 機構 公司名稱 企業",
    ),
    ("company", Part::Stopgap, "associatedcompany primaryassociatedcompany"),
    (
        "contact_name",
        Part::Whole,
        "fullname contact contactfullname contactperson person displayname firstandlastname firstnamelastname firstlastname \
         firstlast lastnamefirstname lastfirst givenandfamilyname vollständigername vorundnachname vorundzuname \
         vornachname vorzuname vornameundnachname vornamenachname vornameundname vornamename vornamezuname namevorname \
         nameundvorname nachnamevorname nachnameundvorname nachundvorname zunamevorname familiennamevorname \
         namevorundnachname namevorundzuname kontakt kontaktname kontaktperson ansprechpartner ansprechpartnerin ansprechperson anzeigename 姓名 全名 \
         联系人 联系人姓名 聯絡人 聯繫人",
    ),
    ("contact_name", Part::Stopgap, "name"),
    ("contact_name", Part::Given, "firstname givenname forename fname contactfirstname vorname rufname 名 名字 名前"),
    ("contact_name", Part::Middle, "middlename additionalname weiterevornamen zweitervorname 中间名"),
    (
        "contact_name",
        Part::Family,
        "lastname familyname surname lname contactlastname nachname familienname zuname 姓 姓氏",
    ),
    (
        "position",
        Part::Whole,
        "jobtitle job jobposition role jobrole function occupation organizationtitle organization1title funktion \
         berufsbezeichnung beruf stelle stellenbezeichnung rolle 职位 职务 职称 岗位 头衔 職位 職務 職稱",
    ),
    ("position", Part::Stopgap, "title"),
    (
        "industry",
        Part::Whole,
        "branch sector industrysector companyindustry vertical branche industrie wirtschaftszweig 行业 所属行业 \
         产业 行業 產業",
    ),
    ("location", Part::Whole, "place companylocation standort 地点 所在地 位置 地區 地點"),
    (
        "location",
        Part::City,
        "city town businesscity mailingcity billingcity companycity address1city ort stadt wohnort ortgeschäftlich \
         城市 所在城市 市",
    ),
    (
        "location",
        Part::Region,
        "state region province stateregion stateprovince businessstate mailingstate mailingstateprovince \
         billingstateprovince companystate address1region bundesland regiongeschäftlich 省 省份 地区",
    ),
    (
        "location",
        Part::Country,
        "country countryregion businesscountryregion mailingcountry billingcountry companycountry address1country \
         land staat landregiongeschäftlich 国家 国家地区 國家",
    ),
    (
        "business_size",
        Part::Whole,
        "companysize size employees numberofemployees noofemployees numemployees employeecount headcount \
         mitarbeiter mitarbeiterzahl anzahlmitarbeiter anzahldermitarbeiter unternehmensgröße firmengröße 规模 \
         公司规模 企业规模 员工人数 员工数 規模 公司規模 員工人數",
    ),
    (
        "source_url",
        Part::Whole,
        "url website websiteurl web webpage webaddress homepage companywebsite companyurl website1value \
         businesswebsite webseite internetseite internetadresse 网站 网址 官网 公司网站 主页 網站 網址 官網",
    ),
    ("source_url", Part::Stopgap, "domain companydomain companydomainname"),
    (
        "notes",
        Part::Whole,
        "note comment comments remark remarks notiz notizen bemerkung bemerkungen anmerkung anmerkungen kommentar \
         kommentare 备注 注释 说明 備註 說明",
    ),
    ("notes", Part::Stopgap, "description beschreibung 描述"),
    ("tags", Part::Whole, "tag labels label categories schlagworte schlagwörter kategorien 标签 標籤"),
    ("language", Part::Whole, "lang locale preferredlanguage sprache bevorzugtesprache 语言 首选语言 語言"),
    ("time_zone", Part::Whole, "tz zoneinfo ianatimezone zeitzone 时区 時區"),
    ("source", Part::Whole, "leadsource originalsource quelle herkunft 来源 线索来源 來源"),
];

/// The field that a name is of, by itself or by a synonym.
pub(super) fn place(name: &str) -> Option<Place> {
    let name = letters(name);
    if let Some(column) = COLUMNS.iter().find(|column| letters(column) == name) {
        return Some((column, Part::Whole));
    }
    let found = SYNONYMS.iter().find(|(_, _, names)| names.split(' ').any(|known| known == name));
    found.map(|(field, part, _)| (*field, *part))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_columns_are_the_fields_of_a_prospect() {
        let sorted = |names: &[&'static str]| names.iter().copied().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(&COLUMNS), sorted(crate::domain::prospect::FIELDS));
    }

    #[test]
    fn no_name_is_there_twice_or_as_nothing_is_compared() {
        let mut seen = HashMap::new();
        for (field, part, names) in SYNONYMS {
            assert!(COLUMNS.contains(field), "{field}");
            for name in names.split(' ') {
                assert_eq!(letters(name), name, "{field}");
                assert_eq!(seen.insert(name, (field, part)), None, "{name}");
                assert!(COLUMNS.iter().all(|column| letters(column) != name), "{name}");
            }
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for (name, field, part) in [
            ("E-Mail-Adresse", "email", Part::Whole),
            ("E-mail Address", "email", Part::Whole),
            ("EMAIL", "email", Part::Whole),
            ("ｅｍａｉｌ", "email", Part::Whole),
            ("电子邮件", "email", Part::Whole),
            ("E-mail 1 - Value", "email", Part::Whole),
            ("Contact Name", "contact_name", Part::Whole),
            ("firstName", "contact_name", Part::Given),
            ("姓", "contact_name", Part::Family),
            ("Vor- und Zuname", "contact_name", Part::Whole),
            ("Vor- und Nachname", "contact_name", Part::Whole),
            ("Vor-/Nachname", "contact_name", Part::Whole),
            ("Vorname, Name", "contact_name", Part::Whole),
            ("Name, Vorname", "contact_name", Part::Whole),
            ("Nachname, Vorname", "contact_name", Part::Whole),
            ("Name (Vor- und Zuname)", "contact_name", Part::Whole),
            ("Last Name, First Name", "contact_name", Part::Whole),
            ("First and Last Name", "contact_name", Part::Whole),
            ("Company / Account", "company", Part::Whole),
            ("Organization 1 - Name", "company", Part::Whole),
            ("# Employees", "business_size", Part::Whole),
            ("Unternehmensgro\u{308}ße", "business_size", Part::Whole),
            ("Business Country/Region", "location", Part::Country),
            ("Title", "position", Part::Stopgap),
            ("Website URL", "source_url", Part::Whole),
        ] {
            assert_eq!(place(name), Some((field, part)), "{name}");
        }
        for name in ["MEMBER_RATING", "E-mail 2 - Value", "Person Linkedin Url", "Email Status", "", "  "] {
            assert_eq!(place(name), None, "{name}");
        }
    }
}
