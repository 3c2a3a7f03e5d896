"""Is a bundle what was vetted: do its readers agree, do its checks refuse, is it quick?"""
