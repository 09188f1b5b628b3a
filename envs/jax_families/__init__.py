"""Families of other JAX packages, each an extra: `pip install 'rlseq[craftax]'`.

A family is two files: names and options, which import nothing heavy, and the environment. The
package itself is imported when one of its environments is built.
"""
