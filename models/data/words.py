"""Names, cities and other words, and made-up ones to learn copying from."""

from __future__ import annotations

from random import Random

NAMES = [
    "Ada",
    "Alan",
    "Alice",
    "Amir",
    "Ana",
    "Anna",
    "Ben",
    "Bob",
    "Carl",
    "Carlos",
    "Chen",
    "Clara",
    "Dan",
    "Daniel",
    "David",
    "Diego",
    "Elena",
    "Eli",
    "Emil",
    "Emma",
    "Eva",
    "Fatima",
    "Felix",
    "Finn",
    "Frank",
    "George",
    "Grace",
    "Hana",
    "Hans",
    "Hugo",
    "Ida",
    "Ines",
    "Ivan",
    "Jack",
    "James",
    "Jan",
    "Jane",
    "Joe",
    "John",
    "Jonas",
    "Julia",
    "Kai",
    "Karen",
    "Kim",
    "Lars",
    "Laura",
    "Lea",
    "Leo",
    "Lena",
    "Lily",
    "Linda",
    "Luca",
    "Lucy",
    "Luis",
    "Maria",
    "Mark",
    "Martin",
    "Mary",
    "Max",
    "Maya",
    "Mia",
    "Mike",
    "Mila",
    "Mohammed",
    "Nadia",
    "Nick",
    "Nina",
    "Noah",
    "Nora",
    "Olga",
    "Oliver",
    "Oscar",
    "Paul",
    "Pedro",
    "Peter",
    "Priya",
    "Rosa",
    "Ruth",
    "Sam",
    "Sara",
    "Simon",
    "Sofia",
    "Stefan",
    "Tara",
    "Thomas",
    "Tim",
    "Tom",
    "Victor",
    "Wei",
    "Yuki",
    "Zoe",
]

CITIES = """Paris|London|Berlin|Rome|Madrid|Vienna|Oslo|Dublin|Lisbon|Prague|Warsaw|Athens|Moscow|Kyiv
Helsinki|Stockholm|Copenhagen|Amsterdam|Brussels|Zurich|Geneva|Munich|Hamburg|Cologne|Milan|Venice
Naples|Turin|Barcelona|Valencia|Seville|Porto|Lyon|Nice|Marseille|Toulouse|Tokyo|Kyoto|Osaka|Seoul
Beijing|Shanghai|Hong Kong|Singapore|Bangkok|Hanoi|Manila|Jakarta|Delhi|Mumbai|Dubai|Cairo|Lagos
Nairobi|Cape Town|Casablanca|Istanbul|Ankara|Sydney|Melbourne|Perth|Auckland|New York|Boston|Chicago
Seattle|Denver|Austin|Dallas|Houston|Miami|Atlanta|San Francisco|Los Angeles|Las Vegas|Toronto
Montreal|Vancouver|Mexico City|Havana|Lima|Bogota|Santiago|Buenos Aires|Rio de Janeiro|Sao Paulo
Edinburgh|Glasgow|Manchester|Bristol|Cambridge|Oxford|York|Bath|Leeds|Cork|Malmo|Bergen""".replace(
    "\n", "|"
).split("|")

UNSEEN_CITIES = [
    "Budapest",
    "Belgrade",
    "Zagreb",
    "Tallinn",
    "Riga",
    "Vilnius",
    "Bratislava",
    "Bilbao",
    "Florence",
    "Palermo",
    "Leipzig",
    "Dresden",
    "Antwerp",
    "Salzburg",
    "Nagoya",
    "Sapporo",
    "Taipei",
    "Karachi",
    "Lahore",
    "Tehran",
    "Baghdad",
    "Accra",
    "Dakar",
    "Tunis",
    "Quito",
    "Portland",
    "Phoenix",
    "Nashville",
    "Ottawa",
    "Calgary",
]
"""Never used in training; kept to measure copying."""

UNSEEN_NAMES = [
    "Astrid",
    "Bruno",
    "Dmitri",
    "Esther",
    "Gustav",
    "Harriet",
    "Ingrid",
    "Jasper",
    "Kenji",
    "Leila",
    "Magnus",
    "Nigel",
    "Ottilie",
    "Philippa",
    "Quentin",
    "Rashid",
    "Sven",
    "Tobias",
    "Ursula",
    "Wanda",
]
"""Never used in training."""

CONDITIONS = [
    "sunny",
    "cloudy",
    "rainy",
    "windy",
    "foggy",
    "snowy",
    "stormy",
    "clear",
    "overcast",
    "warm",
    "cold",
    "dry",
    "misty",
    "humid",
    "mild",
    "freezing",
    "hazy",
    "hot",
    "wet",
    "icy",
]

NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]

_STARTS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "ch",
    "cl",
    "dr",
    "fr",
    "gr",
    "kl",
    "pr",
    "sh",
    "st",
    "th",
    "tr",
]
_MIDDLES = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ia", "io", "ou"]
_ENDS = [
    "n",
    "r",
    "s",
    "l",
    "t",
    "m",
    "k",
    "d",
    "nd",
    "rk",
    "st",
    "sk",
    "x",
    "th",
    "ra",
    "la",
    "na",
    "ria",
    "ton",
    "ville",
    "burg",
    "mar",
]


def made_up(rng: Random) -> str:
    """Return a capitalised word that exists nowhere."""
    parts = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        parts.append(rng.choice(_STARTS) + rng.choice(_MIDDLES))
    return ("".join(parts) + rng.choice(_ENDS)).capitalize()


def some_name(rng: Random) -> str:
    """Return a first name: a known one or a made-up one."""
    return rng.choice(NAMES) if rng.random() < 0.5 else made_up(rng)


def some_city(rng: Random) -> str:
    """Return a city: a known one or a made-up one."""
    return rng.choice(CITIES) if rng.random() < 0.55 else made_up(rng)


def a(noun: str) -> str:
    """Return the noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
