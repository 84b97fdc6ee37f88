"""Let the model call a calculator: litertlm runs the function and gives the model its result."""

import ast
import operator

from litertlm import Client, events, tool

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def work_out(expression: str) -> float:
    """The value of an expression of numbers and + - * /."""

    def value(node: ast.AST) -> float:
        match node:
            case ast.Expression(body):
                return value(body)
            case ast.Constant(int() | float() as number):
                return number
            case ast.BinOp(left, op, right) if type(op) in OPERATORS:
                return OPERATORS[type(op)](value(left), value(right))
            case _:
                raise ValueError(f"not arithmetic: {expression}")

    return value(ast.parse(expression, mode="eval"))


@tool
def calculator(expression: str) -> float:
    """Works out an arithmetic expression.

    Args:
        expression: Numbers and + - * /.
    """
    return work_out(expression)


with Client() as client, client.chat(tools=[calculator]) as chat:
    for event in chat.send_stream("What is 12 * 7?").events():
        match event:
            case events.ToolEnded(call, _, result):
                print(f"[{call.name} {dict(call.arguments)} -> {result.result}]")
            case events.TextDelta(text):
                print(text, end="", flush=True)
    print()
