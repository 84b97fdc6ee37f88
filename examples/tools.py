"""Let the model call a calculator, and give it the result."""

import ast
import operator

from litertlm import Client, Tool, ToolResult

calculator = Tool(
    "calculator",
    "Works out an arithmetic expression",
    {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]},
)

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


with Client() as client, client.chat(tools=[calculator]) as chat:
    reply = chat.send("What is 12 * 7?")
    for call in reply.tool_calls:
        print(f"[{call.name} {dict(call.arguments)}]")
        result = work_out(str(call.arguments["expression"]))
        reply = chat.send_tool_result(ToolResult(call.id, call.name, {"result": result}))
    print(reply)
