"""Deciding, without doing: Spec + Facts -> Plan."""
