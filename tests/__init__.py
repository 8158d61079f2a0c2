"""Tests of rokubox; they mirror the packages."""
