"""Odd programs and outputs for LiveCodeBench's rules; what the original says of each, test_livecodebench_rules asks.

``OUTPUTS`` are pairs of an expected and a printed output; ``VALUES`` expressions that a method returns where
one of ``EXPECTED`` is asked for; ``EXPRESSIONS`` use the names that stand before a program; ``SHAPES`` are
scripts whose input and expected output are 3; ``METHODS`` should double a number.
"""

# ruff: noqa: E501

from __future__ import annotations

OUTPUTS = [
    ("3", "3"), ("3", "3\n"), ("3\n", "\n3"), ("3\n", "\n\n  3  \n\n"), ("3", "3.0"), ("3.0", "3"), ("3", "03"),
    ("3", "+3"), ("3", "3e0"), ("1000", "1e3"), ("1e3", "1000.0"), ("3", "4"), ("3", ""), ("", ""), ("", "\n\n"),
    ("", "0"), ("3", "3 "), ("3 4", "3  4"), ("3 4", "3\t4"), ("3 4", "4 3"), ("3 4", "3\n4"), ("3\n4", "3 4"),
    ("3\n4", "3\n4\n"), ("3\n4", "3\n\n4"), ("3\n\n4", "3\n\n4"), ("3\n\n4", "3\n4"), ("3\n4", "3\n4\n5"),
    ("3\n4\n5", "3\n4"), ("3\n4", "3\r\n4\r\n"), ("3\r\n4\r\n", "3\n4"), ("YES", "YES"), ("YES", "Yes"), ("YES", " YES"),
    ("YES 1", "YES 1.0"), ("YES 1", "YES  1"), ("a b", "a b "), ("0.5", ".5"), ("0.5", "0.50"), ("0.5", "1/2"),
    ("0.1", "0.10000000000000001"), ("0.333333333333", "0.3333333333333333"), ("1e-7", "0.0000001"), ("-0", "0"),
    ("-0.0", "0"), ("nan", "nan"), ("nan", "NaN"), ("inf", "Infinity"), ("1", "sNaN"), ("sNaN", "1"), ("sNaN", "sNaN"),
    ("50000000000000000", "50000000000000001"), ("1_000", "1000"), ("1,000", "1000"), ("[1, 2]", "[1,2]"),
    ("[1, 2]", "[1, 2]"), ("1", "1L"), ("1", "0x1"), ("１", "1"), ("True", "1"), ("1", "True"), ("1 2 3", "1 2"),
    ("1 2", "1 2 3"), ("1.0 2.0", "1 2"), ("1.0 2.0", "1 2.1"), ("x\ny", "x \ny "), ("a\x0bb", "a\nb"), ("a\x0cb", "a\x0cb"),
    ("a\u2028b", "a\nb"), ("a", "\ufeffa"), ("1e400", "1e400"), ("1e400", "10e399"), ("1E+2", "100"),
]  # fmt: skip
VALUES = [
    "8", "8.0", "True", "False", "None", "[1, 2]", "(1, 2)", "[(1, 2)]", "((1, 2),)", "[1, (2,)]", "{1, 2}", "'8'",
    "b'8'", "[]", "()", "''", "{}", "{'a': 1}", "{1: 1}", "Counter('a')", "OrderedDict(a=1)", "defaultdict(int, a=1)",
    "dict(a=1).keys()", "range(1, 3)", "iter([1, 2])", "(x for x in [1, 2])", "map(int, '12')", "deque([1, 2])",
    "frozenset([1])", "2 ** 70", "-0.0", "0", "0.1 + 0.2", "0.3", "float('nan')", "float('inf')", "1j", "8 + 0j",
    "namedtuple('P', 'x y')(1, 2)", "[[1, 2], [3]]", "[[1, 2], (3,)]", "[None]", "[True, 2]", "[1.0, 2]", "['a', 'b']",
    "('a', 'b')", "'a'", "ascii_lowercase[0]", "datetime.date(2020, 1, 1)", "[1, 2][::-1]", "len", "print('8')",
    "type(8)", "type('S', (str,), {})('a')", "type('N', (int,), {})(8)", "[x] * 2 if (x := 1) else 0", "..." , "object()",
]  # fmt: skip
EXPECTED = [
    "8",
    "[1, 2]",
    "true",
    "false",
    "null",
    '{"a": 1}',
    "[]",
    '"8"',
    '["a", "b"]',
    "0.3",
    "[[1, 2], [3]]",
    '""',
]
EXPRESSIONS = [
    "pow(2, 10, 1000)", "pow(2, 3)", "reduce(xor, [1, 2, 3])", "itemgetter(1)([1, 2])", "ascii_lowercase", "digits",
    "sqrt(16)", "gcd(12, 18)", "inf", "comb(5, 2)", "prod([2, 3])", "mean([1, 3])", "median([1, 2, 3])", "mode([1, 1])",
    "Counter('aab')['a']", "deque([1, 2]).pop()", "defaultdict(list)[0]", "heapify([2, 1])", "bisect_left([1, 3], 2)",
    "copy.deepcopy([1])", "copy.copy([1])", "deepcopy([1])", "list(accumulate([1, 2]))", "list(permutations([1, 2]))",
    "lru_cache(None)(abs)(-1)", "cmp_to_key(lambda a, b: a - b)(1) is not None", "findall('a', 'aba')", "re.sub('a', 'b', 'a')",
    "match('a', 'ab').group()", "string.digits", "datetime.datetime(2020, 1, 1).year", "timedelta(days=1).days", "math.pi",
    "pi", "e", "tau", "floor(1.5)", "ceil(1.5)", "maxsize > 0", "sys.maxsize > 0", "stdin.readline()", "sys.stdin.readline()",
    "dumps([1])", "loads('[1]')", "json.dumps({})", "StringIO('a').read()", "io.StringIO('a').read()", "List[int] is not None",
    "Optional[int] is not None", "abs(-1)", "sum([1, 2])", "round(1.5)", "open is not None", "min(1, 2)", "hash(1)",
    "collections.Counter('a')['a']", "heapq.nsmallest(1, [2, 1])", "bisect.bisect([1], 1)", "itertools.count().__next__()",
    "functools.reduce(add, [1, 2])", "operator.mul(2, 3)", "random.Random(0).random() < 1", "randint(1, 1)", "choice([1])",
    "statistics.mean([1])", "concat([1], [2])", "mul(2, 3)", "truediv(1, 2)", "not_(1)", "getrecursionlimit()", "chain([1]) is not None",
    "defaultdict", "nothing_of_this_name", "numpy_is_not_there", "Decimal(1)", "Fraction(1)", "tree()",
]  # fmt: skip
SHAPES = [
    "print(input())", "import sys\nprint(input())\nsys.exit()", "print(input())\nexit(0)", "import sys\nprint(input())\nsys.exit(3)",
    "import sys\nprint(input())\nsys.exit('bad')", "print(input())\nraise SystemExit(1)", "print(input())\n1 / 0",
    "print(input())\nraise KeyError", "print(input())\ninput()", "print(input(), end='')", "print()\nprint(input())",
    "print(input())\nprint()", "print(input(), 'x')", "print(input().strip())", "print(int(input()) + 1)", "x = input()",
    "def main():\n    print(input())\nmain()", "def main():\n    print(input())", "def main():\n    print(input())\nif __name__ == '__main__':\n    main()",
    "class A:\n    def run(self):\n        print(input())\nA().run()", "for line in stdin:\n    print(line, end='')", "print(*map(int, stdin.read().split()))",
    "import sys\nprint(sys.stdin.readlines()[0])", "def f(n):\n    return n and f(n - 1)\nf(20000)\nprint(input())", "print(input()", "return 3",
    "sys.stdout.write(input())", "sys.stderr.write('log')\nprint(input())", "print(3.0)", "print('3', 3)", "print(3)\nprint(3)", "yield 3",
]  # fmt: skip


METHODS = [
    "class Solution:\n    def f(self, x):\n        return 2 * x",
    "class Solution:\n    def f(self, x):\n        return x * 3 - 3",
    "class Solution:\n    seen = 0\n    def f(self, x):\n        self.seen += 1\n        return 2 * x if self.seen < 2 else 0",
    "class Solution:\n    def __init__(self):\n        self.memory = {}\n    def f(self, x):\n        return self.memory.setdefault(x, 2 * x)",
    "class Solution:\n    def __init__(self, x):\n        self.x = x\n    def f(self, x):\n        return 2 * x",
    "class Solution:\n    @staticmethod\n    def f(x):\n        return 2 * x",
    "class Solution:\n    @classmethod\n    def f(cls, x):\n        return 2 * x",
    "class Solution:\n    def g(self, x):\n        return 2 * x",
    "class Solution:\n    f = lambda self, x: 2 * x",
    "class Solution(object):\n    def f(self, x):\n        return self.g(x)\n    def g(self, x):\n        return 2 * x",
    "class Solution:\n    def f(self, x):\n        print(x)\n        return 2 * x",
    "class Solution:\n    def f(self, x):\n        print(2 * x)",
    "class Solution:\n    def f(self, x, y):\n        return 2 * x",
    "class Solution:\n    def f(self, x, y=0):\n        return 2 * x",
    "class Solution:\n    def f(self, *x):\n        return 2 * x[0]",
    "class Solution:\n    def f(self, x):\n        raise StopIteration",
    "class Solution:\n    def f(self, x):\n        yield 2 * x",
    "def f(x):\n    return 2 * x",
    "def f(x):\n    return x",
    "def f(self, x):\n    return 2 * x",
    "f = lambda x: 2 * x",
    "def g(x):\n    return 2 * x",
    "total = 0\ndef f(x):\n    global total\n    total += 1\n    return 2 * x + total - 1",
    "from functools import cache\n@cache\ndef f(x):\n    return 2 * x",
    "class Solution:\n    def f(self, x: Nothing):\n        return 2 * x",
    "class Solution:\n    def f(self, x: Optional[int]) -> Dict[str, int]:\n        return pow(2, 1, 1000) * x",
    "import numpy as np\nclass Solution:\n    def f(self, x):\n        return np.int64(2 * x)",
]  # fmt: skip
