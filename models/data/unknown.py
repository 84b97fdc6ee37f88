"""Questions the model cannot answer, so that it learns to say so."""

from __future__ import annotations

from random import Random

from models.data.words import made_up, some_city, some_name

_TOPICS = """history politics biology chess physics music football cooking space economics law medicine
gardening poetry photosynthesis gravity democracy bitcoin evolution philosophy electricity vaccines
dinosaurs volcanoes quantum mechanics machine learning black holes the moon the sea the brain the
internet global warming the stock market old cars tea bread wine""".split()

_PATTERNS = (
    "Who was {name}?|Who is {name}?|What is the capital of {place}?|Explain {topic}.|What is {topic}?"
    "|Tell me about {topic}.|Write an essay about {topic}.|How does {topic} work?|Where is {place}?"
    "|How many people live in {place}?|When was {name} born?|Who won the game in {place}?"
    "|Translate {topic} to {place}.|How do I cook {topic}?|What is the meaning of {topic}?"
    "|Why is the sky blue?|What is the meaning of life?|Who is the president?|What happened in {year}?"
    "|Summarise this text: {topic} and {topic2}.|Write an email to {name} about {topic}."
    "|Who wrote {name}?|What is the best book about {topic}?|How tall is {name}?|What is love?"
    "|Is {topic} better than {topic2}?|Give me advice about {topic}.|How far is {place} from {place2}?"
    "|What should I eat today?|What is the news?|What is the price of {topic}?|Plan a trip to {place}."
    "|Fix my code.|What does {topic} mean?|How do you spell {topic}?|Do you know {name}?"
    "|Who discovered {topic}?|How old is {name}?|What is a {topic}?|Sing a song about {topic}."
    "|How long is the river in {place}?|Which is bigger, {place} or {place2}?|Prove that {topic}."
    "|Recommend a film.|What is the population of {place}?|Draw a picture of {topic}.|What is {name}?"
    "|Why do people like {topic}?|Write a function that sorts {topic}.|What year is it in {place}?"
    "|How do I fix {topic}?|Can you play {topic}?|Open the door.|Turn on the light.|Call {name}."
    "|Send a message to {name}.|Play some music.|Set an alarm.|Buy {topic}.|Search for {topic}."
).split("|")


def unknown_question(rng: Random) -> str:
    """Return a question outside what the model knows."""
    return rng.choice(_PATTERNS).format(
        name=made_up(rng) if rng.random() < 0.5 else some_name(rng) + " " + made_up(rng),
        place=some_city(rng),
        place2=some_city(rng),
        topic=rng.choice(_TOPICS) if rng.random() < 0.8 else made_up(rng).lower(),
        topic2=rng.choice(_TOPICS),
        year=str(rng.randint(1000, 2030)),
    )
