"""From a table of answers to a preset: reading, fitting one task type after the other, writing the yaml."""
