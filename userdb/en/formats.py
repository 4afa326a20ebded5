"""How the pages write times: to the second and with their zone. Django's own English format has neither.

Found by the setting FORMAT_MODULE_PATH: Django looks for `<that>.<language>.formats`.
"""

DATETIME_FORMAT = "Y-m-d H:i:s T"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
