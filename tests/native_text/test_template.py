"""Templates mean what they mean in the official engine, and cannot do harm."""

from __future__ import annotations

import pytest

from litertlm._engine.litert.engine import LiteRtEngine
from litertlm._engine.litert.rendering import render
from litertlm._engine.native.text.template import ChatTemplate
from litertlm._engine.seam import Preface
from litertlm.errors import TemplateError

from .conftest import Sides

MESSAGE = {
    "content": [{"text": "x", "type": "text"}],
    "f": 2.5,
    "floats": [1.5, 1e300, 1e20, 1e16, 1e15, 1e-4, 1e-5, 1.25e-6, 5e-324, -0.0, 2.0, 0.1],
    "n": None,
    "o": {"z": None},
    "role": "user",
    "s": "",
    "t": True,
}
SAME = (
    # Lines and blanks around blocks.
    "  {% if true %}\n  a\n  {% endif %}\n b",
    "a\n{%- if true -%}\n b {%- endif %}\n",
    "{{ 'x' }}\ny\n\n",
    "  {# c #}  \nz",
    "\t{% set x = 1 %}\tz",
    "a {%+ if 1 %}b{% endif +%}\nc",
    "x {#- c -#} y",
    "{% raw %}{{ a }}{% endraw %}",
    "{% generation %}a{% endgeneration %}",
    # Values as text.
    "{{ none }} {{ None }} {{ true }} {{ 1.0 }} {{ 1e3 }} {{ 4 / 2 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }}",
    "{{ [1, 'a\"\\n', none, true, {'b': 1.0}] }} {{ (1, 2) }} {{ range(3) }}",
    "{{ 'a' ~ 1 ~ none ~ true ~ [none] }}",
    "{{ messages[0].floats }} {{ messages[0].floats | tojson }}",
    "{% for f in messages[0].floats %}{{ f }} {% endfor %}",
    "{{ messages }}|{{ messages | tojson }}|{{ messages | string }}",
    "{{ 'é<&>\\u2028\\u0001/' | tojson }} {{ none | tojson }} {{ true | tojson }} {{ nothing | tojson }}",
    "{{ [true, none, 1.0] | join('-') }} {{ [true, none] | string }}",
    "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}{{ ns.a }} {{ ns }}",
    # What is not there.
    "{{ nothing }}|{{ messages[5] }}|{{ messages[0].nothing }}|{{ none.a }}|{{ bos_token }}|{{ eos_token }}",
    "{{ nothing is defined }}{{ nothing is none }}{{ nothing == none }}{{ not nothing }}",
    "{{ none is none }}{{ messages[0].n is none }}{{ messages[0].n is not none }}{{ messages[0].n == none }}",
    "{{ messages[0].keys }}|{{ messages[0].items }}|{{ messages.append }}|{{ 'x'.__class__ }}",
    "{{ tools is defined }}{{ enable_thinking is defined }}{{ add_generation_prompt }}",
    "{{ nothing | default('a') }}{{ '' | default('b', true) }}{{ nothing or 'z' }}",
    # Methods of Python that templates are written with.
    "{{ ' a '.strip() }}|{{ 'xax'.strip('x') }}|{{ ' a'.lstrip() }}",
    "{{ 'a '.rstrip() }}|{{ 'ab'.endswith('b') }}",
    "{{ 'abc'.startswith('a') }}{{ 'abc'.replace('b', 'x') }}",
    "{{ 'a,b'.split(',')[0] }}{{ 'a,b'.split(',')[-1] }}",
    "{% for p in 'a,b'.split(',') %}{{ p }};{% endfor %}{{ messages[0].items() }}",
    "{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}",
    # Filters and tests.
    "{{ {'b': 1, 'A': 2, 'a': 3} | dictsort }}",
    "{{ {'b': 1} | items | list }}{{ [3, 1] | sort }}{{ [1, 1] | unique }}",
    "{{ 'ab' | upper | first }}{{ 'aBc' | title }}",
    "{{ ' x ' | trim }}{{ 'a\nb' | indent(2) }}{{ 'abc' | reverse }}",
    "{{ 2.5 | round }} {{ 1.567 | round(1) }} {{ 3 | round }}",
    "{{ 5.7 | int }} {{ (-1) | abs }} {{ [1, 2] | sum }}",
    "{{ messages | map(attribute='role') | join }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list }}",
    "{{ 'a' is string }}{{ 'a' is sequence }}{{ 'a' is iterable }}",
    "{{ {} is mapping }}{{ messages is sequence }}",
    "{{ true is number }}{{ 1 is number }}{{ true is boolean }}{{ 1.0 is float }}{{ true is integer }}",
    "{{ 'a' in 'abc' }}{{ 1 in [1] }}{{ 'a' in {'a': 1} }}",
    "{{ 'x' is startingwith 'x' }}{{ 'x' is endingwith 'y' }}",
    # Blocks.
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }} {{ m(a=3, b=4) }}{{ m | string }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% set x %}block{% endset %}{{ x }}{% filter upper %}a{% endfilter %}{% with a=1 %}{{ a }}{% endwith %}",
    "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}",
    "{% for i in range(3) %}{{ loop.index0 }}{{ loop.revindex }}"
    "{{ loop.first }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 2] %}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}{% else %}e{% endfor %}",
    "{{ 'abc'[::-1] }}{{ [1, 2, 3][1:] }}{{ 'abc'[-1] }}{{ 'a' 'b' }}{{ 1 < 2 < 3 }}{{ 'x' * 3 }}",
    "{{ strftime_now('%Y-%m') }}",
)
FAILING = {
    "{{ nothing.a.b }}": 1,
    "{% if nothing.a %}{% endif %}": 1,
    "a\n{{ raise_exception('no') }}": 2,
    "\n\n{{ 'a' + 1 }}": 3,
    "{{": 1,
    "\n{% if %}": 2,
    "{{ nothing() }}": 1,
    "{{ 1 | nofilter }}": 1,
    "{{ 1 is notest }}": 1,
    "{% include 'a' %}": 1,
    "{% for x in range(200000) %}{% endfor %}": 1,
    "{{ 'a' % 1 }}": 1,
}
BUILDING = {
    "loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a repeated text": "{{ 'x' * 10 ** 9 }}",
    "a repeated list": "{{ [1] * 10 ** 9 }}",
    "doubling by +": "{% set ns = namespace(s='x') %}{% for i in range(99) %}"
    "{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling by ~": "{% set ns = namespace(s='x') %}{% for i in range(99) %}"
    "{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "doubling by a block": "{% set ns = namespace(s='x') %}{% for i in range(99) %}"
    "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}",
    "doubling a list": "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}"
    "{% set ns.s = [ns.s, ns.s] | sum(start=[]) %}{% endfor %}",
    "squares": "{% set ns = namespace(s=2) %}{% for i in range(99) %}"
    "{% set ns.s = ns.s * ns.s %}{% endfor %}",
    "a power": "{{ 9 ** 9 ** 9 }}",
    "a long output": "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "replace": "{{ ('a' * 9999).replace('a', 'b' * 9999) }}",
    "format": "{{ '%999999999d' | format(1) }}",
    "format by a value": "{{ '%*d' | format(999999999, 1) }}",
    "indent": "{{ 'x' | indent(10 ** 9) }}",
    "brackets": "{{ " + "(" * 9999 + " }}",
    "blocks": "{% if 1 %}" * 300 + "{% endif %}" * 300,
}
REACHING = (
    "{{ ''['__class__'] }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ 'x'['ljust'](10 ** 9) }}",
    "{{ 'x' | attr('ljust') }}",
    "{{ 'x'.format(1) }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update(a=1) }}",
    "{{ raise_exception.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__subclasses__() }}",
    "{{ self._TemplateReference__context }}",
    "{{ (messages | map(attribute='__class__') | list)[0].__name__ }}",
)


def ours(template: str) -> str:
    """What our side makes of a template."""
    return ChatTemplate(template).render({"messages": [MESSAGE], "add_generation_prompt": True})


def official(sides: Sides, template: str) -> str:
    """What the official engine makes of it."""
    assert isinstance(sides.official, LiteRtEngine)
    return render(sides.official.renderers.get(Preface(chat_template=template)), [MESSAGE])


def test_the_same_text(family: object) -> None:
    """Every construct that chat templates use comes out as in the official engine."""
    sides = family("generic_model")  # type: ignore[operator]
    for template in SAME:
        assert ours(template) == official(sides, template), template


def test_the_same_line_of_errors(family: object) -> None:
    """Where one fails so does the other, in the same line."""
    sides = family("generic_model")  # type: ignore[operator]
    for template, line in FAILING.items():
        with pytest.raises(TemplateError) as theirs:
            official(sides, template)
        with pytest.raises(TemplateError) as caught:
            ours(template)
        assert theirs.value.line == caught.value.line == line, template
        assert f"in line {line}: " in str(caught.value)


@pytest.mark.parametrize("what", BUILDING)
def test_endless_and_huge(what: str) -> None:
    """A template that would take all time or memory is an error."""
    with pytest.raises(TemplateError):
        ours(BUILDING[what])


@pytest.mark.parametrize("template", REACHING)
def test_nothing_but_values_is_reached(template: str) -> None:
    """What a template should not see is not there, or an error; nothing is changed."""
    before = repr(MESSAGE)
    try:
        text = ours(template)
    except TemplateError:
        text = ""
    assert text == ""
    assert repr(MESSAGE) == before


def test_what_renders_message_by_message() -> None:
    """The official engine treats such templates in a way of its own."""
    with pytest.raises(TemplateError, match="not supported"):
        ChatTemplate("{% if is_appending_to_prefill %}{% endif %}")


def test_more_of_python_than_there() -> None:
    """Methods that the official engine refuses mean what they mean in Python."""
    assert ours("{{ {'a': 1}.get('b', 'c') }}{{ ', '.join(['x', 'y']) }}{{ 'a'.upper() }}") == "cx, yA"
    assert ours("{% for i in [1, 2] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}") == "1"
    assert ours("{{ {'a': [1]} | tojson(indent=1) }}") == '{\n "a": [\n  1\n ]\n}'
