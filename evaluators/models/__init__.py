"""Reward models: one file per way to predict the reward of every slot, chosen by the group `reward_model`."""
