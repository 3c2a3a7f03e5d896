"""Parts of `experiment=power`: how many decisions a gate needs, predicted from tables and checked by simulation."""
